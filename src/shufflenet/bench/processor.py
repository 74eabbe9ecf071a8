"""The processor that figures are measured on: its name, and what its int8 instructions can't hold."""

from __future__ import annotations

import platform


def name() -> str:
    """With family and model on x86-64, for example "AMD EPYC (cpu family 25, model 17)"."""
    fields = _first_core()
    text = fields.get("model name", platform.processor() or platform.machine())
    family = [f"{key} {fields[key]}" for key in ("cpu family", "model") if key in fields]
    return f"{text} ({', '.join(family)})" if family else text


def sums_pairs_in_16_bits() -> bool:
    """Whether two products of bytes are added in 16 bits, as x86-64 without VNNI does.

    Weights of 8 bits then overflow, and runtimes that don't make up for it are told to use 7.
    """
    flags = _first_core().get("flags", "").split()
    return platform.machine() in ("x86_64", "AMD64") and not {"avx512_vnni", "avx_vnni"} & set(flags)


def _first_core() -> dict[str, str]:
    """What Linux says of the first core; empty elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = file.read().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
