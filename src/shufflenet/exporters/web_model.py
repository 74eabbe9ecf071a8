"""The model of the web target as one file: description, plan and weights.

    8 bytes    MAGIC
    uint32     FORMAT
    uint32     bytes of what follows, by which a file that is cut short shows
    gzip       uint32 bytes of the description, the description as JSON, the model as engine/web/web.c unpacks it

Weights are as exact as in the plan and half as large where the model has them in half precision: batch norm is folded
into them only when they are unpacked, one scale for each output channel.
"""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shufflenet.engine import engine
from shufflenet.engine.plan import make_plan
from shufflenet.engine.steps import DTYPES, HEADER
from shufflenet.exporters.target import Order, describe, made_by
from shufflenet.networks.folded import batch_norm_scales, fold
from shufflenet.networks.graph import Convolution
from shufflenet.networks.model import Model

MAGIC = b"snet-web"
FORMAT = 1

_BLOCK = struct.Struct("<3I")  # struct plan_weights
_DTYPE_BYTES = {DTYPES["float32"]: 4, DTYPES["float16"]: 2, DTYPES["int8"]: 1, DTYPES["int32"]: 4}


def model_bytes(order: Order) -> bytes:
    """The file of an order.

    Raises:
        ValueError: the size is too small or too large.
    """
    plan = make_plan(order.model, order.height, order.width)
    network_bytes = engine.measure(plan, engine.WIDEST).network_bytes
    description = {
        "made_by": made_by("web"),
        "name": order.name,
        **describe(order.model),
        "input": {"height": order.height, "width": order.width},
        "network_bytes": network_bytes,
    }
    text = json.dumps(description, ensure_ascii=False, allow_nan=False).encode()
    packed = struct.pack("<I", len(text)) + text + _packed(order, plan, network_bytes)
    compressed = gzip.compress(packed, 9, mtime=0)
    return MAGIC + struct.pack("<2I", FORMAT, len(compressed)) + compressed


def unpacked(file: bytes) -> tuple[dict[str, Any], bytes]:
    """The description and the packed model in what `model_bytes` returned."""
    content = gzip.decompress(file[len(MAGIC) + 8 :])
    (length,) = struct.unpack_from("<I", content)
    return json.loads(content[4 : 4 + length]), content[4 + length :]


def _packed(order: Order, plan: bytes, network_bytes: int) -> bytes:
    """Struct packed_model of engine/web/web.c and what follows it."""
    header = dict(zip(HEADER, struct.unpack_from(f"<{len(HEADER)}I", plan), strict=True))
    without_weights = len(plan) - header["weight_bytes"]
    preprocessing = order.model.preprocessing
    scale, shift = preprocessing.scale_and_shift()
    sizes = preprocessing.size, preprocessing.resize, order.height, order.width
    parts = [struct.pack("<3I4i6f", network_bytes, len(plan), without_weights, *sizes, *scale, *shift)]
    parts.append(plan[:without_weights])
    halves = _halves(order.model)
    for number in range(header["block_count"]):
        dtype, count, offset = _BLOCK.unpack_from(plan, 4 * len(HEADER) + _BLOCK.size * number)
        size = -(-_DTYPE_BYTES[dtype] * count // 4) * 4
        block = plan[without_weights + offset : without_weights + offset + size]
        parts.append(halves.get(block, struct.pack("<I", 0) + block))
    return b"".join(parts)


def _halves(model: Model) -> dict[bytes, bytes]:
    """What stands in the file for folded weights that are half-precision values times a scale for each row."""
    if model.quantized is not None:
        return {}
    folded, found = fold(model), dict[bytes, bytes]()
    for node in model.graph.nodes:
        if not isinstance(node, Convolution) or not node.batch_norm:
            continue
        weights, scales = model.tensors[f"{node.name}.weight"], batch_norm_scales(model, node)
        halves = _as_halves(weights)
        block = np.ascontiguousarray(folded.tensors[f"{node.name}.weight"]).tobytes()
        if halves is not None:
            found[block] = struct.pack("<I", len(scales)) + scales.tobytes() + halves.tobytes()
    return found


def _as_halves(weights: NDArray[np.float32]) -> NDArray[np.float16] | None:
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(weights.astype(np.float16))
    return halves if np.array_equal(halves.astype(np.float32), weights) else None
