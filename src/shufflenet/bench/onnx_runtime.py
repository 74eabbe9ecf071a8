"""ONNX Runtime with all optimisations: only then it uses its blocked layout of channels (NCHWc).

Its 8 bits are those of its own static quantizer, pairs of QuantizeLinear and DequantizeLinear with weights per
channel, or ours as `shufflenet export` hands them on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shufflenet.bench import onnx_file, processor
from shufflenet.bench.case import Case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Logits, Reduced, Run
from shufflenet.exporters import onnx


def prepare(case: Case) -> list[Run]:
    """PyTorch's exporter with either way to shuffle, `shufflenet export --to onnx`, an imported model's own file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        runs = [
            _prepare(onnx_file.write(network, case, path), case).run
            for network in tuned_networks(case, ["gather", "transpose"])
        ]
        exported = onnx.make(case.model, case.name, (case.height, case.width), aligning=True)
        path.write_bytes(exported.SerializeToString())
        files = [path, *([original] if (original := onnx_file.original(case)) is not None else [])]
        return [*runs, *(_prepare(file, case).run for file in files)]


def prepare_int8(case: Case) -> list[Reduced]:
    """PyTorch's exporter with either way to shuffle; `shufflenet export --to onnx` of our own 8 bits."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        runs = [
            _prepare(quantized(onnx_file.write(network, case, path), case), case)
            for network in tuned_networks(case, ["gather", "transpose"])
        ]
        return [*runs, _prepare(onnx_file.exported_int8(case, path), case)]


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """The ONNX file ``path``, ready to run on ``threads`` threads."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Its threads spin only during a run: afterwards the next runtime needs the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def quantized(path: Path, case: Case) -> Path:
    """The network of an ONNX file in 8 bits, as a file beside it."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared, quantized = path.with_name("prepared.onnx"), path.with_name("quantized.onnx")
    quant_pre_process(str(path), str(prepared))
    quantization.quantize_static(
        str(prepared), str(quantized), _calibration(case), quantization.QuantFormat.QDQ, per_channel=True,
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        reduce_range=processor.sums_pairs_in_16_bits(),
    )  # fmt: skip
    return quantized


def _calibration(case: Case) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What the quantizer reads calibration pictures from: an object with a method ``get_next``."""
    from onnxruntime.quantization import CalibrationDataReader

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            assert case.samples is not None
            self._batches = iter(case.samples.calibration.reshape(-1, *case.x.shape))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            x = next(self._batches, None)
            return None if x is None else {onnx_file.INPUT: x}

    return Batches()


def _prepare(path: Path, case: Case) -> Reduced:
    loaded = session(path, case.threads)
    source, result = loaded.get_inputs()[0].name, loaded.get_outputs()[0].name
    binding = loaded.io_binding()
    binding.bind_output(result)

    def run() -> Logits:
        loaded.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()  # type: ignore[no-any-return]

    def set_input(x: NDArray[np.float32]) -> None:
        binding.bind_ortvalue_input(source, onnxruntime.OrtValue.ortvalue_from_numpy(x))

    set_input(case.x)
    return Reduced(run, set_input)
