"""From pictures to labels with a model file: what most users of the package need.

Classifier().predict("cat.jpg").labels
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Literal, SupportsIndex, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shufflenet import model_file
from shufflenet.engine.engine import Engine
from shufflenet.features import feature_model
from shufflenet.files import printable
from shufflenet.known import confidence
from shufflenet.models import DEFAULT_MODEL, caution, load_model
from shufflenet.pictures import images
from shufflenet.pictures.folder import find_pictures
from shufflenet.pictures.images import MAX_PIXELS, ImageError, Source, source_name
from shufflenet.pictures.preprocessing import preprocess
from shufflenet.probabilities import softmax
from shufflenet.threads import map_in_order

# The engine may differ from the logits in a model file by this much of the largest of them.
SELF_TEST_TOLERANCE = 1e-3
NONE_OF_THESE = "none of these"

Sources: TypeAlias = Iterable[Source]
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Prediction:
    """What the network says about one picture: the ``top_k`` classes, best first, and how long each part took."""

    source: str  # the path as it was given, or the kind of source, such as <bytes>
    class_indices: tuple[int, ...]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]  # softmax over all classes
    decode_ms: float
    preprocess_ms: float
    network_ms: float
    known: float = 1.0  # how sure it is that the picture is of its classes, see `known.confidence`

    def unless_unknown(self, threshold: float) -> Prediction:
        """The same, with "none of these" before the labels where ``known`` is below ``threshold``."""
        if self.known >= threshold:
            return self
        return replace(
            self,
            class_indices=(-1, *self.class_indices),
            labels=(NONE_OF_THESE, *self.labels),
            probabilities=(1 - self.known, *self.probabilities),
        )

    def document(self) -> dict[str, Any]:
        """The prediction as `predict --json` and `serve` give it."""
        columns = zip(self.class_indices, self.labels, self.probabilities, strict=True)
        return {
            "source": self.source,
            "predictions": [{"class_index": i, "label": label, "probability": p} for i, label, p in columns],
            "decode_ms": self.decode_ms,
            "preprocess_ms": self.preprocess_ms,
            "network_ms": self.network_ms,
            "known": self.known,
        }


class Classifier:
    """A trained network on the package's own engine.

    Args:
        model: the name of a model that comes with the package, the path of a model file, or a public network such
            as ``pytorchcv:shufflenet_g3_w1`` or the Hugging Face Hub's ``hf:user/model``, downloaded when it is first
            used (``shufflenet import --list``).
        isa: instruction set level of the engine; default: the best that this processor has.
        threads: how many share each picture, which makes one picture at a time, such as a camera's, quicker.

    Raises:
        model_file.ModelFileError: the model can't be used, its logits of the built-in test picture are not finite, or
            the engine does not reproduce its self-test.
        ValueError: this processor has no such instruction set level, or ``threads`` is not from 1 to 1024.
    """

    def __init__(self, model: str | os.PathLike[str] = DEFAULT_MODEL, isa: str | None = None, threads: int = 1) -> None:
        loaded = load_model(model)
        self._made_by = model, isa, threads
        self.threads = threads
        self.graph = loaded.graph
        self.labels = loaded.labels
        self.preprocessing = loaded.preprocessing
        self.caution = caution(loaded.training)
        self.model = loaded
        self._engine = Engine(loaded, isa, threads)
        self._embedder: Engine | None = None  # made when it is first asked for
        # Also without a self-test: the first run of a size makes its plan, which is no picture's time.
        logits = self.logits(model_file.test_input(self.preprocessing))[0]
        model_file.check_finite(str(model), logits)
        if loaded.self_test:
            self._check_self_test(str(model), logits, np.array(loaded.self_test))

    def __reduce__(self) -> tuple[type[Classifier], tuple[str | os.PathLike[str], str | None, int]]:
        """For another process, which loads the model anew."""
        return type(self), self._made_by

    @property
    def isa(self) -> str:
        """Instruction set level in use."""
        return self._engine.isa

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Preprocessed pictures, float32 [N, 3, H, W] or [3, H, W], H and W from 32 up -> float32 [N, classes].

        Raises:
            ValueError: ``x`` has another type or shape.
        """
        x = np.asarray(x)
        return self._engine.run(x[None] if x.ndim == 3 else x)

    @overload  # a str or bytes is one source, though also an iterable
    def predict(  # type: ignore[overload-overlap]
        self, images: Source, top_k: SupportsIndex = 5, errors: Literal["raise"] = "raise", max_pixels: int = MAX_PIXELS
    ) -> Prediction: ...
    @overload
    def predict(
        self,
        images: Sources,
        top_k: SupportsIndex = 5,
        errors: Literal["raise"] = "raise",
        max_pixels: int = MAX_PIXELS,
    ) -> list[Prediction]: ...
    @overload
    def predict(
        self,
        images: Source | Sources,
        top_k: SupportsIndex = 5,
        *,
        errors: Literal["yield"],
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[Prediction | ImageError]: ...
    def predict(
        self,
        images: Source | Sources,
        top_k: SupportsIndex = 5,
        errors: Literal["raise", "yield"] = "raise",
        max_pixels: int = MAX_PIXELS,
    ) -> Prediction | list[Prediction] | Iterator[Prediction | ImageError]:
        """Classifies one picture, or each of many: paths, bytes of picture files, PIL images or arrays.

        Of many, each of the process's cores works on a picture of its own, and ``images`` is asked for three per core
        ahead. If the classifier has several threads, these share one picture after the other instead.

        Args:
            errors: "raise" ends with the first picture that can't be read. "yield" goes on: the result is an iterator,
                one picture too, with an `ImageError` in the place of each picture that can't be read.
            max_pixels: larger pictures are refused before they are decoded.

        Returns:
            A `Prediction`; of many pictures a list of them, in order; with ``errors="yield"`` an iterator.

        Raises:
            ImageError: a picture can't be read, or its logits are not finite.
            TypeError: ``images`` is none of these, or ``top_k`` no whole number.
            ValueError: ``top_k`` is below 1, or ``errors`` neither of the two.
        """
        top_k = checked_top_k(top_k)
        if errors not in ("raise", "yield"):
            raise ValueError(f"errors must be 'raise' or 'yield', not {errors!r}")
        if _is_one(images) and errors == "raise":
            return self._predict_one(cast(Source, images), top_k, max_pixels)
        results = self._predict_many(_sources(images), top_k, max_pixels)
        if errors == "yield":
            return results
        return _all_read(results)

    @overload
    def embed(
        self, images: Source | Sources, errors: Literal["raise"] = "raise", max_pixels: int = MAX_PIXELS
    ) -> NDArray[np.float32]: ...
    @overload
    def embed(
        self, images: Source | Sources, errors: Literal["yield"], max_pixels: int = MAX_PIXELS
    ) -> Iterator[NDArray[np.float32] | ImageError]: ...
    def embed(
        self, images: Source | Sources, errors: Literal["raise", "yield"] = "raise", max_pixels: int = MAX_PIXELS
    ) -> NDArray[np.float32] | Iterator[NDArray[np.float32] | ImageError]:
        """What the network has found in pictures before its last layer: vectors, near for pictures that are alike.

        Args:
            images: one picture or many, as for `predict`; or a folder, which stands for the sorted paths that
                `find_pictures` gives of it, a row for each.
            errors, max_pixels: as for `predict`.

        Returns:
            float32 [N, features], a row for each picture, also for a single one; with ``errors="yield"`` an iterator
            of rows, with an `ImageError` in the place of each picture that can't be read.

        Raises:
            ImageError: a picture can't be read, or its features are not finite; or a folder can't, or holds none.
            TypeError: ``images`` is none of these.
            ValueError: the network does not end with a fully connected layer.
        """
        if errors not in ("raise", "yield"):
            raise ValueError(f"errors must be 'raise' or 'yield', not {errors!r}")
        if self._embedder is None:
            self._embedder = Engine(feature_model(self.model), self.isa, self.threads)
        run = self._embedder.run

        def features(source: Source) -> NDArray[np.float32] | ImageError:
            try:
                row: NDArray[np.float32] = run(self._input(source, max_pixels)[0][None])[0]
            except ImageError as error:
                return error
            if np.isfinite(row).all():
                return row
            return ImageError(f"{printable(source_name(source))}: the network's features of it are not finite")

        in_folder = isinstance(images, str | os.PathLike) and os.path.isdir(images)
        sources: Sources = find_pictures(cast(str, images)) if in_folder else _sources(images)
        rows = map_in_order(features, sources) if self.threads == 1 else map(features, sources)
        if errors == "yield":
            return rows
        found = _all_read(rows)
        return np.stack(found) if found else np.zeros((0, self.features), dtype=np.float32)

    @property
    def features(self) -> int:
        """The length of an embedding."""
        return self.graph.classifier.inputs[0].channels

    def _predict_many(self, sources: Sources, top_k: int, max_pixels: int) -> Iterator[Prediction | ImageError]:
        def result(source: Source) -> Prediction | ImageError:
            try:
                return self._predict_one(source, top_k, max_pixels)
            except ImageError as error:
                return error

        yield from map_in_order(result, sources) if self.threads == 1 else map(result, sources)

    def _predict_one(self, source: Source, top_k: int, max_pixels: int) -> Prediction:
        began = perf_counter()
        x, decoded = self._input(source, max_pixels)
        preprocessed = perf_counter()
        logits = self.logits(x)[0]
        if not np.isfinite(logits).all():
            raise ImageError(f"{printable(source_name(source))}: the network's logits of it are not finite")
        done = perf_counter()
        probabilities = softmax(logits)
        best = np.argsort(-probabilities, kind="stable")[:top_k].tolist()
        return Prediction(
            source=source_name(source),
            class_indices=tuple(best),
            labels=tuple(self.labels[index] for index in best),
            probabilities=tuple(probabilities[best].tolist()),
            decode_ms=1000 * (decoded - began),
            preprocess_ms=1000 * (preprocessed - decoded),
            network_ms=1000 * (done - preprocessed),
            known=float(confidence(logits, self.model.training)),
        )

    def _input(self, source: Source, max_pixels: int) -> tuple[NDArray[np.float32], float]:
        """The network's input [3, S, S], and when it was decoded."""
        with images.decoding(source, max_pixels, self.preprocessing.resize) as picture:
            decoded = perf_counter()
            return preprocess(picture, self.preprocessing), decoded

    def _check_self_test(self, name: str, logits: NDArray[np.float32], expected: NDArray[np.float64]) -> None:
        error = float(np.abs(logits - expected).max() / np.abs(expected).max().clip(min=1e-30))
        if not error <= SELF_TEST_TOLERANCE:
            raise model_file.ModelFileError(
                f"{name}: failed its self-test: the engine ({self.isa}) differs from the stored logits by {error:.1e} "
                f"of the largest, {SELF_TEST_TOLERANCE:.0e} is allowed; the file was changed or the engine is broken"
            )


def _is_one(images: Source | Sources) -> bool:
    """Whether this is one picture, though some are iterables too."""
    return isinstance(images, str | os.PathLike | bytes | Image.Image | np.ndarray)


def _sources(images: Source | Sources) -> Sources:
    """The pictures of an argument that may be one picture; raises TypeError if it is neither."""
    if _is_one(images):
        return [cast(Source, images)]
    if not isinstance(images, Iterable) or isinstance(images, bytearray | memoryview) or hasattr(images, "read"):
        raise TypeError(f"a picture is a path, bytes, a PIL image or an array, not {type(images).__name__}")
    return cast(Sources, images)


def _all_read(results: Iterator[_Result | ImageError]) -> list[_Result]:
    """The results in a list; raises the first error among them."""
    read = []
    for result in results:
        if isinstance(result, ImageError):
            raise result
        read.append(result)
    return read


def checked_top_k(top_k: SupportsIndex) -> int:
    """Returns ``top_k`` as an int; raises TypeError or ValueError if it is no whole number from 1 up."""
    try:
        number = operator.index(top_k)
    except TypeError:
        raise TypeError(f"top_k must be a whole number, not {top_k!r}") from None
    if number < 1:
        raise ValueError(f"top_k must be at least 1, not {number}")
    return number
