"""The engine's levels for float32, the fastest first: without those that differ from another in 8 bits alone."""

from __future__ import annotations

from shufflenet.engine.engine import isas

FLOAT_ISAS = [name for name in isas() if not name.endswith("_vnni")]
# The plain reference is slow.
FAST_ISAS = [name for name in FLOAT_ISAS if name != "reference"]
