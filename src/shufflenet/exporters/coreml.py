"""Target ``coreml``: an .mlpackage for Apple's systems that takes a picture and gives a label; fixed input size.

Core ML runs on Apple's systems only, so the comparison with the engine uses `coreml_file`, which computes the file's
operators in PyTorch.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from shufflenet.exporters.converting import converting
from shufflenet.exporters.coreml_file import CoreMLFile
from shufflenet.exporters.shuffles import Floats
from shufflenet.exporters.target import ExportError, Order, Runner, Target, describe, made_by
from shufflenet.networks.graph import Convolution
from shufflenet.networks.model import Model


def write(order: Order, folder: Path) -> None:
    import torch

    from shufflenet.exporters.graph import TunedNetwork, example

    preprocessing = order.model.preprocessing
    model = _divided(order.model, np.array(preprocessing.std, dtype=np.float32))
    network = torch.nn.Sequential(TunedNetwork(model, "transpose"), torch.nn.Softmax(dim=1))
    folder.mkdir()
    package = folder / f"{order.name}.mlpackage"
    with converting("Core ML Tools"):
        import coremltools

        program = torch.export.export(network, (example(order),))
        made = coremltools.convert(
            program.run_decompositions({}),
            inputs=[
                coremltools.ImageType(
                    name="image",
                    shape=(1, 3, order.height, order.width),
                    scale=1 / 255,
                    bias=[-mean for mean in preprocessing.mean],
                    color_layout=coremltools.colorlayout.RGB,
                )
            ],
            classifier_config=coremltools.ClassifierConfig(order.model.labels),
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT32,
            minimum_deployment_target=coremltools.target.iOS15,
            skip_model_load=True,
        )
        made.short_description = f"{order.model.graph.name}, {order.model.graph.classes} classes"
        made.author = made_by("coreml")
        made.user_defined_metadata["shufflenet"] = json.dumps(
            describe(order.model), ensure_ascii=False, allow_nan=False
        )
        made.save(str(package))
        (package / "executorch_debug_handle_mapping.json").unlink(
            missing_ok=True
        )  # coremltools writes it for another program


def _divided(model: Model, std: Floats) -> Model:
    """The network for pictures that are not divided by ``std``: the convolutions that read them are.

    Core ML has a mean for each colour, but a single scale.
    """
    tensors = dict(model.tensors)
    for node in model.graph.readers()[model.graph.input]:
        if not isinstance(node, Convolution) or node.groups > 1:
            raise ExportError(f"Core ML can't divide by a standard deviation for each colour in front of {node.name}")
        tensors[f"{node.name}.weight"] = tensors[f"{node.name}.weight"] / std[:, None, None]
    return replace(model, tensors=tensors)


def open_(order: Order, folder: Path) -> Runner:
    with converting("Core ML Tools", "read the exported package"):
        file = CoreMLFile(folder / f"{order.name}.mlpackage")
    if file.labels != order.model.labels:
        raise ExportError("Core ML Tools did not keep the labels as they are")
    preprocessing = order.model.preprocessing
    mean, std = np.array(preprocessing.mean)[:, None, None], np.array(preprocessing.std)[:, None, None]
    return Runner(
        lambda x: file.logits((255 * (x * std + mean)).astype(np.float32)),
        stand_in="Core ML runs on Apple's systems only: its file was read back and computed by PyTorch",
    )


TARGET = Target(
    name="coreml",
    title="a folder with one .mlpackage for Core ML on Apple's systems",
    suffix="_coreml",
    write=write,
    open=open_,
    folder=True,
    writes_with=("coremltools", "torch"),
    no_int8="Core ML computes in float16 or on weights alone of 8 bits; export the float32 model",
)
