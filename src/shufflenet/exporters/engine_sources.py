"""The engine's C sources, as many as a program needs that runs networks of one precision with one thread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Literal

from shufflenet.exporters.target import ExportError
from shufflenet.networks.model import Model

Precision = Literal["float32", "int8"]

# What a program of each precision defines, to be without the code of the other.
WITHOUT: dict[Precision, str] = {"float32": "SHUFFLENET_WITHOUT_INT8", "int8": "SHUFFLENET_WITHOUT_FLOAT32"}

_CORE = (
    "builder.c",
    "cpu.c",
    "create.c",
    "operators/input.c",
    "operators/zero.c",
    "preprocess/preprocess.c",
    "run.c",
    "tiles.c",
)
_CONDITIONS = {*WITHOUT.values(), "SHUFFLENET_TRAINING"}  # words in #ifdef and #ifndef that decide what is included

# The processor of a level's file and what its compilers must be told, GCC and Clang, since one command line gives all
# files the same flags. On other processors the file is empty. Clang uses AVX-512's whole width anyway.
_AVX512 = "avx512f,avx512bw,avx512dq,avx512vl,fma"
_TARGETS = {
    "avx2": ("x86_64", "avx2,fma,f16c", "avx,avx2,fma,f16c"),
    "avx_vnni": ("x86_64", "avx2,fma,f16c,avxvnni", "avx,avx2,fma,f16c,avxvnni"),
    "avx512": ("x86_64", f"{_AVX512},prefer-vector-width=512", _AVX512),
    "avx512_vnni": ("x86_64", f"{_AVX512},avx512vnni,prefer-vector-width=512", f"{_AVX512},avx512vnni"),
    "neon_dot": ("aarch64", "arch=armv8.2-a+dotprod", "dotprod"),
}
_SINCE = {"avx_vnni": " && (defined __clang__ ? __clang_major__ >= 12 : __GNUC__ >= 11)"}  # kernels.h
_INTRINSICS = {"x86_64": "immintrin.h", "aarch64": "arm_neon.h"}
# Clang's target attribute brings instructions, but not the words that say so, which GCC's pragma does. That of aarch64
# is new in Clang 16: before, the level has the instructions of the command line.
_WORDS = {"dotprod": "__ARM_FEATURE_DOTPROD", "fma": "__FMA__", "f16c": "__F16C__"}
_CLANG = {"x86_64": "defined __clang__", "aarch64": "defined __clang__ && __clang_major__ >= 16"}


def precision_of(model: Model) -> Precision:
    return "float32" if model.quantized is None else "int8"


def engine_folder() -> Path:
    """The engine's sources: in the installed package beside this file, in a checkout at its top."""
    here = Path(__file__).resolve()
    for folder in (here.parent / "engine", here.parents[3] / "engine"):
        if (folder / "shufflenet.h").is_file():
            return folder
    raise ExportError("the engine's C sources are not in this installation; install the package with pip")


def core_files(precision: Precision) -> list[str]:
    """The .c files without kernels, as paths in `engine_folder`."""
    operators = [f"operators/{file.name}" for file in (engine_folder() / "operators").glob("*.c")]
    return sorted({*_CORE, *(name for name in operators if _is_int8(name) == (precision == "int8"))})


def level_files(precision: Precision) -> list[str]:
    """The .c files of the levels, as paths in `engine_folder`; those of float32 resize pictures too."""
    names = sorted(f"levels/{file.name}" for file in (engine_folder() / "levels").glob("*.c"))
    return [name for name in names if precision == "int8" or not _is_int8(name)]


def _is_int8(name: str) -> bool:
    return Path(name).name.startswith("int8_")


def with_headers(names: Iterable[str], precision: Precision) -> list[str]:
    """``names`` and all that they include, by themselves or by what they include, in a program of this precision."""
    source, found, left = engine_folder(), set[str](), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            text = (source / name).read_text(encoding="utf-8")
            left += [normpath(join(dirname(name), header)) for header in _included(text, WITHOUT[precision])]
    return sorted(found)


def _included(text: str, defined: str) -> Iterator[str]:
    """The names in #include "..." that are compiled if of `_CONDITIONS` one word alone is ``defined``."""
    compiled: list[bool | None] = []  # by each #if, #ifdef and #ifndef around a line; None: that can't be known
    for line in text.splitlines():
        parts = re.match(r"#(\w+)\s*(\S*)", line)
        directive, word = parts.groups() if parts else ("", "")
        if directive in ("if", "ifdef", "ifndef"):
            known = directive != "if" and word in _CONDITIONS
            compiled.append((word == defined) == (directive == "ifdef") if known else None)
        elif directive == "else" and compiled[-1] is not None:
            compiled[-1] = not compiled[-1]
        elif directive == "endif":
            compiled.pop()
        elif directive == "include" and word.startswith('"') and False not in compiled:
            yield word.strip('"')


def core_source(precision: Precision, folder: str) -> str:
    """A C file that compiles `core_files`, which lie in ``folder``, as one."""
    includes = "".join(f'#include "{folder}/{name}"\n' for name in core_files(precision))
    return (
        "// The engine without its kernels.\n"
        "#ifdef __x86_64__\n#define SHUFFLENET_X86 // there are levels with AVX2 and AVX-512\n#endif\n"
        "#define SHUFFLENET_LOCAL static __attribute__((unused))\n"
        f"#define {WITHOUT[precision]}\n{includes}"
    )


def level_source(name: str, precision: Precision, folder: str) -> str:
    """A C file that compiles the level of `level_files` with its instructions, whatever flags the compiler is given."""
    comment = "// The kernels of one instruction set level.\n"
    include = f'#define {WITHOUT[precision]}\n#include "{folder}/{name}"\n'
    level = Path(name).stem.removeprefix("int8_")
    if level not in _TARGETS:
        return comment + include
    processor, gcc, clang = _TARGETS[level]
    words = [_WORDS.get(target, f"__{target.upper()}__") for target in clang.split(",")]
    defined = "".join(f"#ifndef {word}\n#define {word} 1\n#endif\n" for word in words)
    # The system's headers come first: the instructions are for the kernels alone.
    headers = (_INTRINSICS[processor], "stddef.h", "stdint.h", "string.h")
    included = "".join(f"#include <{header}>\n" for header in headers)
    return f"""\
{comment}#if defined __{processor}__{_SINCE.get(level, "")}
{included}#if {_CLANG[processor]}
#pragma clang attribute push(__attribute__((target("{clang}"))), apply_to = function)
{defined}#elif !defined __clang__
#pragma GCC target("{gcc}")
#endif
{include}#if {_CLANG[processor]}
#pragma clang attribute pop
#endif
#endif
"""
