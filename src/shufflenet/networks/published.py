"""What the package's PyTorch modules share: they become model files, and repositories of the Hugging Face Hub."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from shufflenet import hub_folder, hugging_face, model_file
from shufflenet.models import embedded_models, load_model
from shufflenet.networks.graph import Graph
from shufflenet.networks.model import Model
from shufflenet.pictures.preprocessing import Preprocessing


class Published(nn.Module):
    """A network that knows its graph.

    ``labels`` and ``preprocessing`` are those of the model that the weights came from; a network with new weights has
    none, and a loop of your own says them when it saves.
    """

    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    __jit_ignored_attributes__ = ("labels", "preprocessing")  # by torch.jit.script, which knows no such types

    def current_graph(self) -> Graph:
        """The network as it is now, with as many classes as its classifier has."""
        raise NotImplementedError

    @classmethod
    def of_graph(cls, graph: Graph) -> Self:
        """The module of a graph, with new weights."""
        raise NotImplementedError

    @torch.no_grad()
    def to_model(
        self,
        labels: list[str] | tuple[str, ...] = (),
        preprocessing: Preprocessing | None = None,
        training: dict[str, Any] | None = None,
    ) -> Model:
        """A copy of the weights with all that a model file holds, which engine and exports take.

        Args:
            labels: the text of each class; default: the network's, if it has as many.
            preprocessing: how pictures became inputs; default: the network's, else `Preprocessing`'s, ImageNet's.
            training: where the weights come from, free form for JSON.

        Raises:
            ValueError: a layer but the classifier was replaced by one of another shape, or labels are not as many as
                classes.
        """
        graph = self.current_graph()
        state = {name: t for name, t in self.state_dict().items() if not name.endswith("num_batches_tracked")}
        tensors = {name: t.detach().cpu().float().numpy().copy() for name, t in state.items()}
        shapes = graph.tensor_shapes()
        for name in sorted(shapes.keys() | tensors.keys()):
            want, got = shapes.get(name), tensors[name].shape if name in tensors else None
            if want != got:
                raise ValueError(
                    f"{name} is {list(got or ())}, but {graph.name}'s is {list(want or ())}: only the classifier may "
                    "be replaced"
                )
        known = labels or (self.labels if len(self.labels) == graph.classes else ())
        if known and len(known) != graph.classes:
            raise ValueError(f"{len(known)} labels for {graph.classes} classes")
        how = preprocessing or self.preprocessing or Preprocessing()
        model = Model(graph, tensors, how, list(known), training=training or {})
        model.self_test = self._test_logits(how)
        return model

    def _test_logits(self, how: Preprocessing) -> list[float]:
        training = {module: module.training for module in self.modules()}
        self.eval()
        first = next(self.parameters())
        x = torch.from_numpy(model_file.test_input(how)[None]).to(first)
        logits: list[float] = self(x)[0].float().cpu().tolist()
        for module, mode in training.items():
            module.training = mode
        return logits

    def save_model(
        self,
        path: str | os.PathLike[str],
        labels: list[str] | tuple[str, ...] = (),
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """Writes a model file, which every command and `Classifier` take; see `to_model`.

        Raises:
            ValueError: see `to_model`.
            OSError: it can't be written.
        """
        model_file.save(self.to_model(labels, preprocessing), Path(path))

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        labels: list[str] | tuple[str, ...] = (),
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """Writes a folder that is a repository of the Hub: model.safetensors, config.json and README.md, the card.

        Raises:
            ValueError: see `to_model`.
            OSError: it can't be written.
        """
        hub_folder.write(self.to_model(labels, preprocessing), Path(folder))

    def push_to_hub(
        self,
        repository: str,
        labels: list[str] | tuple[str, ...] = (),
        preprocessing: Preprocessing | None = None,
        private: bool | None = None,
    ) -> str:
        """Commits what `save_pretrained` writes to the Hub's repository ``user/model``; returns its address.

        Raises:
            ValueError: see `to_model`.
            ImportError: huggingface_hub is not installed.
            Whatever huggingface_hub raises: nobody is logged in, or the Hub refuses.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, labels, preprocessing)
            return hugging_face.upload(folder, repository, private)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str]) -> Self:
        """The network with a model's weights, all of them, in eval mode.

        Args:
            name: ``user/model`` or ``user/model@revision`` on the Hub, a folder that `save_pretrained` wrote, a model
                file, or a model that comes with the package.

        Raises:
            ModelFileError: there is no such model, or it can't be used.
            ValueError: it is a network of another module.
        """
        text = os.fspath(name)
        here = Path(text).exists() or text in embedded_models() or ":" in text
        model = load_model(text if here else f"{hugging_face.PREFIX}{text}")
        model.require_float()
        network = cls.of_graph(model.graph)
        network.take_weights(model)
        return network.eval()

    def take_weights(self, model: Model) -> None:
        """Copies a model's weights, labels and preprocessing; the graphs must be the same."""
        state = {name: torch.from_numpy(np.asarray(t)) for name, t in model.tensors.items()}
        self.load_state_dict(with_counts(state, self))
        self.labels, self.preprocessing = tuple(model.labels), model.preprocessing


def with_counts(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The state dict with batch norm's counts of batches, which model files leave out and PyTorch asks for."""
    counts = {name: t for name, t in network.state_dict().items() if name.endswith("num_batches_tracked")}
    return counts | state
