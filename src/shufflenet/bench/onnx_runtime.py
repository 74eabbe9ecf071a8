"""ONNX Runtime with all optimisations: only then it uses its blocked layout of channels (NCHWc)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shufflenet.bench import onnx_file
from shufflenet.bench.case import Case
from shufflenet.bench.graph import tuned_networks
from shufflenet.bench.runtime import Run
from shufflenet.exporters import onnx
from shufflenet.exporters.shuffles import INPUT, OUTPUT


def prepare(case: Case) -> list[Run]:
    """Three configurations: PyTorch's exporter with either way to shuffle, and `shufflenet export --to onnx`."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        runs = [
            _prepare(onnx_file.write(network, case, path), onnx_file.INPUT, case)
            for network in tuned_networks(case, ["gather", "transpose"])
        ]
        exported = onnx.make(case.model, case.name, (case.height, case.width), aligning=True)
        path.write_bytes(exported.SerializeToString())
        return [*runs, _prepare(path, INPUT, case)]


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """The ONNX file ``path``, ready to run on ``threads`` threads."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Its threads spin only during a run: afterwards the next runtime needs the cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _prepare(path: Path, source: str, case: Case) -> Run:
    loaded = session(path, case.threads)
    binding = loaded.io_binding()
    binding.bind_ortvalue_input(source, onnxruntime.OrtValue.ortvalue_from_numpy(case.x))
    binding.bind_output(OUTPUT)

    def run() -> NDArray[np.float32]:
        loaded.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()  # type: ignore[no-any-return]

    return run
