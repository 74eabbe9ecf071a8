"""Public ShuffleNet v1 checkpoints become models of this package, computing exactly what they did.

Each file named for a source says how its networks are built; `convert` rewrites them as this package's. A checkpoint of
a known hash is one of the source's; of any other that is an assumption, unless logits prove it (`expect`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from shufflenet import __version__
from shufflenet.files import printable
from shufflenet.importers import (
    ericsun99,
    expect,
    jaxony,
    kuangliu,
    megengine,
    megvii,
    mmpretrain,
    paper,
    pytorchcv,
    tensorpack,
    torchvision,
    weiaicunzai,
    zcls,
)
from shufflenet.importers.alternatives import alternatives
from shufflenet.importers.checkpoint import CheckpointError, StateDict, read_bytes, state_dict
from shufflenet.importers.convention import Convention
from shufflenet.importers.convert import convert
from shufflenet.importers.download import cache_folder, fetch
from shufflenet.importers.recognised import Recognised
from shufflenet.importers.self_test import self_test
from shufflenet.importers.source import PublicNetwork, Source
from shufflenet.importers.structure import recognise
from shufflenet.labels import imagenet_names
from shufflenet.networks.model import Model

SOURCES: Mapping[str, Source] = {
    module.SOURCE.name: module.SOURCE
    for module in (
        *(megvii, pytorchcv, mmpretrain, zcls, weiaicunzai, kuangliu, paper),
        *(tensorpack, megengine, jaxony, ericsun99, torchvision),
    )
}


def import_model(
    name: str = "",
    file: Path | None = None,
    labels: list[str] | None = None,
    *,
    stated: Mapping[str, Any] | None = None,
    expected: Path | None = None,
) -> Model:
    """A public network, or a network in a file that is built like one, as a model of this package.

    What neither a known hash nor ``expected`` proves is in the model's ``training`` under ``assumed``.

    Args:
        name: ``SOURCE:NETWORK`` such as ``pytorchcv:shufflenet_g3_w1``; with ``file`` also ``SOURCE`` alone, which
            says whose code the network is built like, or nothing if its tensors' names give that away.
        file: the checkpoint; default: downloaded once to the cache folder.
        labels: the classes' texts; default: ImageNet's for a known network of 1,000 classes, else "class 0" and so on.
        stated: what the user says of the network: fields of `Convention`, for a file of unknown hash. Fields of the
            network itself, not of its input, are for the source ``paper`` only.
        expected: a .npz file of an input and its logits (`expect.read`). The network must agree; where the source is
            ``paper``, other ways to build it than the paper's are tried too.

    Raises:
        CheckpointError: the network is unknown, can't be read, can't be expressed exactly, or differs from what is
            expected; the message says why.
        download.DownloadError: it can't be fetched.
    """
    source, network = _named(name)
    if source is not None and source.refusal:
        raise CheckpointError(f"{name}: can't be imported: {source.refusal}")
    address = network.address if network is not None and file is None else ""
    if file is None:
        file = _downloaded(name, source, network)
    proof = expect.read(expected) if expected is not None else None
    data = read_bytes(file)
    state = state_dict(data, str(file))
    try:
        if network is not None and network.hash:
            _check_hash(data, network, name)
        recognised = _recognised(state)
        source = _source_of(state, source, proof is not None)
        known = _known(data, source)
        classes = recognised.classes
        if network is not None and recognised.arch != network.arch:
            raise ValueError(f"a {recognised.arch}, but {name} is a {network.arch}")
        if network is not None and classes != network.classes:
            raise ValueError(
                f"{classes} classes, but {name} has {network.classes}; for a network of your own leave out "
                f":{name.partition(':')[2]}"
            )
        convention = _stated(source, known, dict(stated or {}))
        training = _provenance(source, known, name or source.name, address, file, data)
        if proof is not None and expected is not None:
            ways = alternatives(convention, stated or {}) if source is paper.SOURCE else [convention]
            convention, difference = expect.prove(proof, recognised, ways)
            built = {"built": source.built} if source.built else convention.network()
            training["proved_by"] = {"file": expected.name, "difference": difference, "built": built}
        if known is None:
            training["assumed"] = _assumed(source, convention, stated or {}, proof is not None)
        graph, tensors = recognised.build(convention)
        model = Model(graph=graph, preprocessing=convention.preprocessing, tensors=tensors, training=training)
        if labels is not None:
            model.labels = model.classes = labels  # even if there are none, which no model file can hold
        elif (network or known) is not None and classes == 1000:
            model.classes, model.labels = imagenet_names()
        model.self_test = self_test(model)
    except ValueError as error:
        raise CheckpointError(f"{printable(str(file))}: {printable(str(error))}") from None
    return model


def _recognised(state: StateDict) -> Recognised:
    """The network of a source that has its own, if the tensors' names say so; else one of the family or a variant."""
    for source in SOURCES.values():
        if source.recognise is not None and _has_names_of(source, state):
            return source.recognise(state)
    structure, tensors = recognise(state)
    return Recognised(structure.arch.name, structure.arch.classes, partial(convert, structure, tensors))


def _has_names_of(source: Source, state: StateDict) -> bool:
    return bool(source.key) and any(source.key in f".{name}" for name in state)


def _known(data: bytes, source: Source) -> PublicNetwork | None:
    """The source's network of this hash."""
    return next((network for network in source.networks.values() if network.hash and _has_hash(data, network)), None)


def _stated(source: Source, known: PublicNetwork | None, stated: dict[str, Any]) -> Convention:
    """The source's convention, with what the user states in the place of its own."""
    if stated and known is not None:
        raise ValueError(f"a known checkpoint of {source.name}: nothing is to be stated of how it is built")
    network = stated.keys() & source.convention.network().keys()
    if network and source is not paper.SOURCE:
        raise ValueError(
            f"built like {source.name}, whose {' and '.join(sorted(network))} is known; for code of your own name "
            "paper as the source"
        )
    if "preprocessing" in stated:
        stated = {"bgr": False, "bytes_in": False, **stated}
    return replace(source.convention, **stated)


def _assumed(source: Source, convention: Convention, stated: Mapping[str, Any], network_proved: bool) -> list[str]:
    """What nobody stated and nothing proved, in words."""
    built = {"": source.built} if source.built else convention.network()
    texts = [] if network_proved else [text for key, text in built.items() if key not in stated]
    return texts if "preprocessing" in stated else [*texts, f"pictures {convention.input()}"]


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
    if network.hash and not _has_hash(data, network):
        algorithm, _, expected = network.hash.partition(":")
        found = hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        raise ValueError(f"not {name}: its {algorithm} hash begins with {found[:8]}, not {expected[:8]}")


def _has_hash(data: bytes, network: PublicNetwork) -> bool:
    algorithm, _, expected = network.hash.partition(":")
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest().startswith(expected)


def _source_of(state: StateDict, given: Source | None, proof: bool) -> Source:
    """Shapes don't tell how a network shuffles; tensors' names may, and must not contradict what is given.

    With a proof, code of a source that was changed may be imported as ``paper``.
    """
    found = [source for source in SOURCES.values() if _has_names_of(source, state)]
    if given is None:
        if len(found) != 1:
            raise ValueError(
                "the shapes of its tensors don't tell how it shuffles and concatenates channels; say whose code it is "
                f"built like: {', '.join(source.name for source in SOURCES.values() if not source.refusal)}"
            )
        return found[0]
    alike = any(each.convention == given.convention for each in found)  # ericsun99's names are jaxony's
    own = any(each.recognise is not None for each in found)
    if found and given not in found and (own or not alike) and not (proof and given is paper.SOURCE and not own):
        unless = "; if its code was changed, prove it with --expect" if given is paper.SOURCE and not own else ""
        raise ValueError(f"its tensors have the names of {found[0].name}, so it is not built like {given.name}{unless}")
    if given.recognise is not None and not found:
        raise ValueError(f"its tensors have other names than {given.name}'s")
    return given


def _provenance(
    source: Source, known: PublicNetwork | None, name: str, address: str, file: Path, data: bytes
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "imported": name,
        "page": source.page,
        "address": address,
        "file": file.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "hash": known.hash if known is not None else "",  # as its authors publish it, which it has
        "imported_by": f"shufflenet {__version__}",
    }
    if known is not None:
        result["published"] = {
            "data": "ImageNet validation",
            "top1_error": known.top1_error,
            "top5_error": known.top5_error,
        }
    return result
