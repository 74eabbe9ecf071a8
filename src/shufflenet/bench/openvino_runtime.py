"""OpenVINO in float32, bfloat16 and 8 bits, tuned for latency; all runs use one inference request.

Its 8 bits are those of NNCF, its own quantizer, or ours as `shufflenet export` hands them on.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino
from numpy.typing import NDArray

from shufflenet.bench import onnx_file, processor
from shufflenet.bench.case import Case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Logits, Reduced, Run, UnavailableError
from shufflenet.exporters.graph import TunedNetwork
from shufflenet.exporters.openvino import request


def prepare(case: Case) -> list[Run]:
    """See `runtime.Runtime`; an imported model's own file is one more configuration."""
    original = onnx_file.original(case)
    models = _models(case) + ([] if original is None else [openvino.Core().read_model(original)])
    return [_prepare(model, case, "f32").run for model in models]


def prepare_bfloat16(case: Case) -> list[Reduced]:
    """Where the processor has no instructions for it, OpenVINO runs in float32 all the same.

    Raises:
        UnavailableError: that is so.
    """
    if not _has_bfloat16():
        raise UnavailableError("ran in float32: the processor has no bfloat16")
    return [_prepare(model, case, "bf16") for model in _models(case)]


def prepare_int8(case: Case) -> list[Reduced]:
    """Convolutions in 8 bits; what is left of float32 also in bfloat16, if there is that."""
    precisions = ["f32", "bf16"] if _has_bfloat16() else ["f32"]
    quantized = [_quantized(model, case) for model in _models(case)]
    with TemporaryDirectory() as folder:
        exported = onnx_file.exported_int8(case, Path(folder) / "network.onnx", adds_bytes=False)
        quantized.append(openvino.Core().read_model(exported))
    return [_prepare(model, case, precision) for model in quantized for precision in precisions]


def _models(case: Case) -> list[openvino.Model]:
    return [_model(network, case) for network in tuned_networks(case, ["gather", "transpose"])]


def _model(network: TunedNetwork, case: Case) -> openvino.Model:
    with TemporaryDirectory() as folder:
        return openvino.Core().read_model(onnx_file.write(network, case, Path(folder) / "network.onnx"))


def _has_bfloat16() -> bool:
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _quantized(model: openvino.Model, case: Case) -> openvino.Model:
    import nncf

    assert case.samples is not None
    batches = case.samples.calibration.reshape(-1, *case.x.shape)
    fix = nncf.OverflowFix.ENABLE if processor.sums_pairs_in_16_bits() else nncf.OverflowFix.DISABLE
    return nncf.quantize(
        model, nncf.Dataset(batches), subset_size=len(batches),
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
    )  # fmt: skip


def _prepare(model: openvino.Model, case: Case, precision: str) -> Reduced:
    ready, x = request(model, case.threads, precision), openvino.Tensor(case.x)  # a copy, in OpenVINO's memory
    ready.set_input_tensor(x)

    def run() -> Logits:
        ready.infer()
        return ready.get_output_tensor().data.copy()  # type: ignore[no-any-return]

    def set_input(given: NDArray[np.float32]) -> None:
        x.data[...] = given

    return Reduced(run, set_input)
