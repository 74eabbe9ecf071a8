"""Public ShuffleNet v1 checkpoints become models of this package, computing exactly what they did.

Each file named for a source says how its networks are built; `convert` rewrites them as this package's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shufflenet import __version__
from shufflenet.files import printable
from shufflenet.importers import ericsun99, jaxony, megvii, mmpretrain, paper, pytorchcv, tensorpack, torchvision
from shufflenet.importers.checkpoint import CheckpointError, StateDict, read_bytes, state_dict
from shufflenet.importers.convert import convert
from shufflenet.importers.download import cache_folder, fetch
from shufflenet.importers.source import PublicNetwork, Source
from shufflenet.importers.structure import recognise
from shufflenet.labels import imagenet_names
from shufflenet.model_file import test_input
from shufflenet.networks.model import Model

SOURCES: Mapping[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (megvii, pytorchcv, mmpretrain, paper, tensorpack, jaxony, ericsun99, torchvision)
}


def import_model(name: str = "", file: Path | None = None, labels: list[str] | None = None) -> Model:
    """A public network, or a network in a file that is built like one, as a model of this package.

    Args:
        name: ``SOURCE:NETWORK`` such as ``pytorchcv:shufflenet_g3_w1``; with ``file`` also ``SOURCE`` alone, which
            says whose code the network is built like, or nothing if its tensors' names give that away.
        file: the checkpoint; default: downloaded once to the cache folder.
        labels: the classes' texts; default: ImageNet's for a known network of 1,000 classes, else "class 0" and so on.

    Raises:
        CheckpointError: the network is unknown, can't be read, or can't be expressed exactly; the message says why.
        download.DownloadError: it can't be fetched.
    """
    source, network = _named(name)
    if source is not None and source.refusal:
        raise CheckpointError(f"{name}: can't be imported: {source.refusal}")
    address = network.address if network is not None and file is None else ""
    checked = file is None  # after the download
    if file is None:
        file = _downloaded(name, source, network)
    data = read_bytes(file)
    state = state_dict(data, str(file))
    try:
        if network is not None and not checked:
            _check_hash(data, network, name)
        arch, tensors = recognise(state)
        source = _source_of(state, source)
        if network is not None and arch.name != network.arch:
            raise ValueError(f"a {arch.name}, but {name} is a {network.arch}")
        if network is not None and arch.classes != network.classes:
            raise ValueError(
                f"{arch.classes} classes, but {name} has {network.classes}; for a network of your own leave out "
                f":{name.partition(':')[2]}"
            )
        arch, tensors = convert(arch, tensors, source.convention)
    except ValueError as error:
        raise CheckpointError(f"{printable(str(file))}: {printable(str(error))}") from None
    model = Model(
        graph=arch.graph(),
        preprocessing=source.convention.preprocessing,
        tensors=tensors,
        training=_provenance(source, network, name or source.name, address, file, data),
    )
    if labels is not None:
        model.labels = model.classes = labels  # even if there are none, which no model file can hold
    elif network is not None and model.graph.classes == 1000:
        model.classes, model.labels = imagenet_names()
    model.self_test = _self_test(model)
    return model


def _named(name: str) -> tuple[Source | None, PublicNetwork | None]:
    if not name:
        return None, None
    source_name, colon, network_name = name.partition(":")
    source = SOURCES.get(source_name)
    if source is None:
        raise CheckpointError(f"{printable(name)}: no such source; there are {', '.join(SOURCES)}")
    if not colon or source.refusal:
        return source, None
    if network_name not in source.networks:
        raise CheckpointError(
            f"{printable(name)}: no such network; {source_name} has {', '.join(source.networks) or 'none with a name'}"
        )
    return source, source.networks[network_name]


def _downloaded(name: str, source: Source | None, network: PublicNetwork | None) -> Path:
    if source is None or (network is None and not source.networks):
        raise CheckpointError(f"{name or 'import'}: give the checkpoint with --file")
    if network is None:
        raise CheckpointError(f"{name}: which of its networks? {', '.join(source.networks)}; or give --file")
    if not network.address:
        raise CheckpointError(
            f"{name}: not at an address of its own; get it from {source.page} and give it with --file"
        )
    path = cache_folder() / source.name / network.address.rpartition("/")[2]
    return fetch(network.address, path, lambda whole: _check_hash(read_bytes(whole), network, name))


def _check_hash(data: bytes, network: PublicNetwork, name: str) -> None:
    algorithm, _, expected = network.hash.partition(":")
    if expected:
        found = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()[: len(expected)]
        if found != expected:
            raise ValueError(f"not {name}: its {algorithm} hash begins with {found[:8]}, not {expected[:8]}")


def _source_of(state: StateDict, given: Source | None) -> Source:
    """Shapes don't tell how a network shuffles; tensors' names may, and must not contradict what is given."""
    found = [source for source in SOURCES.values() if source.key and any(source.key in f".{name}" for name in state)]
    if given is None:
        if len(found) != 1:
            raise ValueError(
                "the shapes of its tensors don't tell how it shuffles and concatenates channels; say whose code it is "
                f"built like: {', '.join(source.name for source in SOURCES.values() if not source.refusal)}"
            )
        return found[0]
    if found and given not in found:
        raise ValueError(f"its tensors have the names of {found[0].name}, so it is not built like {given.name}")
    return given


def _provenance(
    source: Source, network: PublicNetwork | None, name: str, address: str, file: Path, data: bytes
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "imported": name,
        "page": source.page,
        "address": address,
        "file": file.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "hash": network.hash if network is not None else "",  # as its authors publish it, which it has
        "imported_by": f"shufflenet {__version__}",
    }
    if network is not None:
        result["published"] = {
            "data": "ImageNet validation",
            "top1_error": network.top1_error,
            "top5_error": network.top5_error,
        }
    return result


def _self_test(model: Model) -> list[float]:
    from shufflenet.engine.engine import Engine

    logits: list[float] = Engine(model).run(test_input(model.preprocessing)[None])[0].tolist()
    return logits
