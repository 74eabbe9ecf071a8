"""What a network costs, by its name, a model's or a model file."""

from __future__ import annotations

import operator
import os

from shufflenet.models import embedded_models, load_model, run_folder_model
from shufflenet.networks import complexity, families
from shufflenet.networks.complexity import Complexity
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model

_SIZE = 224  # pixels, the paper's


def summary(
    network: str | os.PathLike[str] | Graph | Model,
    size: int | tuple[int, int] | None = None,
    classes: int | None = None,
    stem_stride: int | None = None,
) -> Complexity:
    """Multiply-adds, parameters and activation memory of every layer (arXiv 1707.01083, Table 1).

    Args:
        network: a graph, a model, the path of a model file, or the name of a network of any family, such as
            "mobilenet_v1_x0_5".
        size: side of the input in pixels, or its height and width; default: 224, or the model's.
        classes, stem_stride: for a name only; default: 1000 classes, the family's stride.

    Raises:
        ModelFileError: the model file can't be used.
        ValueError: there is no network of this name, or the input has too few pixels.
    """
    graph, own_size = _graph(network, classes, stem_stride)
    height, width = size if isinstance(size, tuple) else (own_size if size is None else size,) * 2
    return complexity.summary(graph, operator.index(height), operator.index(width))


def _is_model(name: str) -> bool:
    """Whether this is a model file, a run folder or a public network, rather than the name of an architecture."""
    in_8_bits = name in embedded_models() and name not in families.names()
    path = name.endswith(".safetensors") or ":" in name or os.path.isfile(name) or run_folder_model(name) is not None
    return path or in_8_bits


def _graph(
    network: str | os.PathLike[str] | Graph | Model, classes: int | None, stem_stride: int | None
) -> tuple[Graph, int]:
    """The network, and the side of its input unless told otherwise."""
    given = {"classes": classes, "stem_stride": stem_stride}
    fields = {key: value for key, value in given.items() if value is not None}
    if isinstance(network, str) and not _is_model(network):
        return families.architecture(network, **fields).graph(), _SIZE
    if fields:
        raise ValueError("--classes and --stem-stride go with a name; a model file has its own")
    if isinstance(network, Graph):
        return network, _SIZE
    model = network if isinstance(network, Model) else load_model(network)
    return model.graph, model.preprocessing.size
