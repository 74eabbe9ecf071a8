"""Target ``coreml``: an .mlpackage for Apple's systems: it takes a picture and gives labels; one picture size.

Core ML runs on Apple's systems only: what is compared with the engine is the file, read back by coreml_file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from shufflenet.export.converting import converting
from shufflenet.export.coreml_file import CoreMLFile
from shufflenet.export.target import ExportError, Order, Runner, Target, describe, made_by


def write(order: Order, folder: Path) -> None:
    import torch

    from shufflenet.export.graph import TunedNetwork, example

    how = order.model.preprocessing
    # Core ML takes a mean for each colour but one scale for all: conv1 divides by the standard deviations.
    divided = order.model.tensors["conv1.weight"] / np.array(how.std, dtype=np.float32)[:, None, None]
    model = replace(order.model, tensors={**order.model.tensors, "conv1.weight": divided})
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
                    bias=[-mean for mean in how.mean],
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
        made.user_defined_metadata["shufflenet"] = json.dumps(describe(order.model), ensure_ascii=False)
        made.save(str(package))
        (package / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)  # of no use here


def open_(order: Order, folder: Path) -> Runner:
    with converting("Core ML Tools", "read the exported package"):
        file = CoreMLFile(folder / f"{order.name}.mlpackage")
    if file.labels != order.model.labels:
        raise ExportError("Core ML Tools did not keep the labels as they are")
    how = order.model.preprocessing
    mean, std = np.array(how.mean)[:, None, None], np.array(how.std)[:, None, None]
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
)
