"""Reads a PyTorch checkpoint without PyTorch, and without running anything that is in it.

`torch.save` writes a pickle, which is a program that may call any function. Here its instructions only build
dictionaries, lists, numbers, texts and tensors; a file that asks for another function is refused.

Two layouts exist: since 2020 a zip archive (``NAME/data.pkl`` and one member per storage under ``NAME/data/``),
before that a row of pickles followed by the storages. Either may be packed in a zip archive of its own. Two more kinds
of files hold NumPy arrays: archives of them (.npz), and pickles as MegEngine writes them.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shufflenet.files import NotAFileError, files_in, printable, read_member, regular_file, why_unreadable
from shufflenet.model_file import ModelFileError

StateDict: TypeAlias = "dict[str, NDArray[Any]]"

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before 2020
_PROTOCOL = 1001  # the second
# A state dict takes 10,000 instructions; with an optimizer's state, several times as many. Each may make an object.
_MAX_INSTRUCTIONS = 200_000
_MAX_PICKLE_BYTES = 32 << 20
_MAX_FILE_BYTES = 1 << 30
_MAX_RATIO = 16  # of packed weights: about 1.1
_ZIP, _TAR = b"PK\x03\x04", b"ustar"

# NotImplementedError: packed in a way that is not known. RuntimeError: locked by a password.
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError)

_DTYPES = {
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class CheckpointError(ModelFileError):
    """A checkpoint can't be read or imported. The message is one line, names the file and says why."""


@dataclass(frozen=True)
class _Function:
    """A function that the pickle names; only those of `_FUNCTIONS` do anything."""

    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    elements: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements


@dataclass
class _DType:
    """A NumPy dtype: ``code`` is "f4", "i8" and so on; ``order`` is set behind it, as it is in the pickle."""

    code: str
    order: str = "<"


@dataclass
class _NumpyArray:
    """A NumPy array, whose tensor is set behind it."""

    tensor: _Tensor | None = None


_Load: TypeAlias = "Callable[[_Storage], bytes | memoryview]"


def read_bytes(path: Path) -> bytes:
    """The bytes of a checkpoint; those within, if it is packed in a zip archive (NAME.pth.zip).

    Raises:
        CheckpointError: the file is missing, unreadable or too large.
    """
    try:
        status = regular_file(path, "checkpoint")
        if status.st_size > _MAX_FILE_BYTES:
            raise _RefusedError(
                f"a file of {status.st_size:,} bytes; checkpoints of at most {_MAX_FILE_BYTES:,} are read"
            )
        data = path.read_bytes()
        return _unpacked(data) if data.startswith(_ZIP) else data
    except OSError as error:
        reason = why_unreadable(error)
    except (NotAFileError, _RefusedError) as error:
        reason = str(error)
    except (*_DAMAGED_ZIP, ValueError):  # ValueError: a member that begins before the file
        reason = "a cut or damaged zip archive"
    raise CheckpointError(f"{printable(str(path))}: {printable(reason)}")


def state_dict(data: bytes, name: str) -> StateDict:
    """The one state dict in the bytes of a checkpoint, in its order: float and integer arrays.

    Args:
        name: what messages call the file.

    Raises:
        CheckpointError: the bytes are no checkpoint, cut, would run code, or hold no or several state dicts.
    """
    try:
        if data.startswith(_ZIP) and (arrays := _numpy_archive(data)) is not None:
            return arrays
        value, load = _read_zip(data) if data.startswith(_ZIP) else _read_legacy(data)
        tensors = _only_state_dict(value)
        return {key: _array(key, tensor, load) for key, tensor in tensors.items()}
    except _RefusedError as error:
        reason = str(error)
    except _DAMAGED_ZIP:
        reason = "a cut or damaged zip archive"
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, struct.error):
        reason = "cut, damaged or not a PyTorch checkpoint"
    raise CheckpointError(f"{printable(name)}: {printable(reason)}")


class _RefusedError(Exception):
    """Says why a readable file is not used."""


def _unpacked(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = files_in(archive)
        if len(members) != 1 or not members[0].filename.endswith((".pth", ".pth.tar", ".pt")):
            return data
        if members[0].file_size > _MAX_RATIO * members[0].compress_size + 1024:
            raise _RefusedError(f"claims to unpack to {members[0].file_size:,} bytes, more than weights can")
        return read_member(archive, members[0].filename)


def _numpy_archive(data: bytes) -> StateDict | None:
    """The arrays of a .npz file; names may end in ``:0``, as TensorFlow's do. None: the file is none."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = files_in(archive)
    if not members or not all(member.filename.endswith(".npy") for member in members):
        return None
    if sum(member.file_size for member in members) > _MAX_RATIO * len(data) + 1024:
        raise _RefusedError("a zip archive that unpacks to more than weights can")
    arrays = {}
    for member in members:
        name = member.filename.removesuffix(".npy").removesuffix(":0")
        if (array := _numpy_file(read_member(archive, member.filename))) is not None:
            arrays[name] = array
    if not arrays:
        raise _RefusedError("a NumPy archive without numbers")
    return arrays


def _numpy_file(data: bytes) -> NDArray[Any] | None:
    """The array of a .npy file, which takes no more memory than the file has; None: it holds no numbers."""
    stream = io.BytesIO(data)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, by_columns, dtype = read_header[np.lib.format.read_magic(stream)](stream)
    if dtype.kind not in "fiu":
        return None
    values = np.frombuffer(data, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if by_columns else "C")


def _read_zip(data: bytes) -> tuple[Any, _Load]:
    archive = zipfile.ZipFile(io.BytesIO(data))
    members = {member.filename: member for member in files_in(archive)}
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise _RefusedError("a zip archive, but not a PyTorch checkpoint")
    folder = pickles[0].removesuffix("data.pkl")
    left = 2 * len(data)  # members of a hostile archive may overlap and add up to any size

    def member(name: str) -> bytes:
        nonlocal left
        left -= members[name].file_size
        if left < 0:
            raise _RefusedError("a zip archive that unpacks to more than weights can")
        return read_member(archive, name)

    if f"{folder}byteorder" in members and member(f"{folder}byteorder") != b"little":
        raise _RefusedError("its numbers are in big-endian order")
    value = _Unpickler(io.BytesIO(member(pickles[0]))).value()
    loaded: dict[str, bytes] = {}

    def load(storage: _Storage) -> bytes:
        if storage.key not in loaded:
            loaded[storage.key] = member(f"{folder}data/{storage.key}")
        return loaded[storage.key]

    return value, load


def _read_legacy(data: bytes) -> tuple[Any, _Load]:
    if data[257:262] == _TAR:
        raise _RefusedError("a tar archive from PyTorch before 0.1.10: save it again with a later version")
    if data[:1] != b"\x80":
        raise _RefusedError("empty file" if not data else "not a PyTorch checkpoint")
    stream = io.BytesIO(data)
    first = _Unpickler(stream)
    if (value := first.value()) != _MAGIC:
        if not isinstance(value, dict):
            raise _RefusedError("a pickle, but not a PyTorch checkpoint")
        return value, lambda storage: first.buffers[storage.key]
    if _Unpickler(stream).value() != _PROTOCOL:
        raise _RefusedError("an unknown kind of PyTorch checkpoint")
    system = _Unpickler(stream).value()
    if not system["little_endian"]:
        raise _RefusedError("its numbers are in big-endian order")
    contents = _Unpickler(stream)
    value = contents.value()
    found: dict[str, memoryview] = {}
    place, whole = 0, memoryview(data)
    keys = _Unpickler(stream).value()
    place = stream.tell()
    for key in keys:
        storage = contents.storages[key]
        if int.from_bytes(whole[place : place + 8], "little") != storage.elements:
            raise ValueError
        end = place + 8 + storage.elements * np.dtype(storage.dtype).itemsize
        found[key] = whole[place + 8 : end]  # shorter at the end of a cut file, which `_array` notices
        place = end
    return value, lambda storage: found[storage.key]


def _only_state_dict(value: Any) -> dict[str, _Tensor]:
    """``value`` itself, or the one dictionary in it that holds weights by name.

    Single numbers such as ``best_acc1`` and whole numbers such as a generator's state are bookkeeping.
    """
    if not isinstance(value, dict):
        raise _RefusedError("holds no state dict")
    if _has_weights(found := _tensors(value)):
        return found
    inner = {
        key: found for key, entry in value.items() if isinstance(entry, dict) and _has_weights(found := _tensors(entry))
    }
    if not inner:
        raise _RefusedError("holds no state dict")
    if len(inner) > 1:
        names = ", ".join(map(repr, inner))
        raise _RefusedError(f"holds several state dicts ({names}): save the one to import to a file of its own")
    return next(iter(inner.values()))


def _tensors(entries: dict[Any, Any]) -> dict[str, _Tensor]:
    tensors = {key: entry.tensor if isinstance(entry, _NumpyArray) else entry for key, entry in entries.items()}
    return {key: tensor for key, tensor in tensors.items() if isinstance(key, str) and isinstance(tensor, _Tensor)}


def _has_weights(tensors: dict[str, _Tensor]) -> bool:
    return any(math.prod(tensor.shape) > 1 and "f" in tensor.storage.dtype for tensor in tensors.values())


def _array(name: str, tensor: _Tensor, load: _Load) -> NDArray[Any]:
    """Checked against the bytes that are there before anything of the tensor's own size is made."""
    storage, shape = tensor.storage, tensor.shape
    flat = np.frombuffer(load(storage), storage.dtype)
    if len(flat) != storage.elements:
        raise _RefusedError(f"cut: tensor {name!r} is not whole")
    if min((tensor.offset, *shape, *tensor.strides), default=0) < 0 or len(shape) != len(tensor.strides):
        raise _RefusedError(f"tensor {name!r} has an impossible shape")
    last = tensor.offset + sum((n - 1) * stride for n, stride in zip(shape, tensor.strides, strict=True))
    elements: int = math.prod(shape)
    if elements > len(flat) or (elements and last >= len(flat)):
        raise _RefusedError(f"tensor {name!r} reaches beyond its data")
    if not elements:
        return np.empty(shape, storage.dtype)
    strides = [stride * flat.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, strides, writeable=False)


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, entry in pairs:
        _set(result, key, entry)
    return result


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(number) is int for number in numbers):
        raise ValueError
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _nothing(*_: Any) -> None:
    """Stands for values beside the weights, such as an accuracy kept as a NumPy number."""


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda *_: {},
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": lambda *sizes: tuple(*sizes),
    "numpy.dtype": lambda code, *_: _DType(code),
    **dict.fromkeys(
        ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"), lambda *_: _NumpyArray()
    ),
    **dict.fromkeys(
        (
            "__builtin__.dict",
            "builtins.dict",
            "_codecs.encode",
            "numpy.ndarray",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
        ),
        _nothing,
    ),
}


def _set(target: Any, key: Any, entry: Any) -> None:
    if not isinstance(target, dict) or not isinstance(key, str | int | float | bytes | None):
        raise ValueError  # the hash of a tuple in a tuple in a tuple... would end the process
    target[key] = entry


class _Unpickler:
    """Follows one pickle's instructions, those of them that build plain values and tensors."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.storages: dict[str, _Storage] = {}
        self.buffers: dict[str, bytes] = {}  # of NumPy arrays, by the keys of their storages
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def value(self) -> Any:
        start = self.stream.tell()
        for count, (opcode, argument, place) in enumerate(pickletools.genops(self.stream)):
            if count > _MAX_INSTRUCTIONS or (place or 0) - start > _MAX_PICKLE_BYTES:
                raise _RefusedError("holds far more than a network's weights")
            if opcode.name == "STOP":
                return self.stack.pop()
            self._follow(opcode.name, argument)
        raise ValueError

    def _follow(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _PUSH_ARGUMENT:
            stack.append(argument)
        elif name in _PUSH:
            stack.append(_PUSH[name]())
        elif name in _JOIN:
            count = _JOIN[name]
            entries = [stack.pop() for _ in range(count)] if count is not None else self._since_mark()[::-1]
            stack.append(tuple(reversed(entries)))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._name_function(argument)
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(_FUNCTIONS[function.name](*arguments))
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif name in ("APPEND", "APPENDS"):
            added = self._since_mark() if name == "APPENDS" else [stack.pop()]
            if not isinstance(stack[-1], list):
                raise ValueError
            stack[-1].extend(added)
        elif name in ("SETITEM", "SETITEMS"):
            added = self._since_mark() if name == "SETITEMS" else [stack.pop(), stack.pop()][::-1]
            for key, entry in zip(added[::2], added[1::2], strict=True):
                _set(stack[-1], key, entry)
        elif name == "BUILD":
            self._build(stack[-2], stack.pop())
        elif name == "POP":
            stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise _RefusedError(f"refused: it holds more than weights (pickle instruction {name})")

    def _build(self, target: Any, attributes: Any) -> None:
        """Sets attributes: of NumPy's objects. A state dict's `_metadata` nobody needs."""
        if isinstance(target, _DType):
            target.order = attributes[1]
        elif isinstance(target, _NumpyArray):
            _, shape, dtype, by_columns, buffer = attributes
            if not isinstance(dtype, _DType) or dtype.code not in _NUMPY_CODES or dtype.order not in "<|":
                raise _RefusedError("its NumPy arrays are of a kind that is not read")
            if not isinstance(buffer, bytes) or not all(type(length) is int for length in shape):
                raise ValueError
            key = f"array {len(self.buffers)}"
            self.buffers[key] = buffer
            elements = len(buffer) // np.dtype(dtype.code).itemsize
            storage = _Storage(key, np.dtype(f"<{dtype.code}").str.lstrip("|"), elements)
            strides = [math.prod(shape[:axis] if by_columns else shape[axis + 1 :]) for axis in range(len(shape))]
            target.tensor = _Tensor(storage, 0, tuple(shape), tuple(strides))

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        entries = self.stack[start:]
        del self.stack[start:]
        return entries

    def _name_function(self, argument: Any) -> None:
        if argument is None:
            argument = " ".join([self.stack.pop(), self.stack.pop()][::-1])
        module, _, name = argument.partition(" ")
        full_name = f"{module}.{name}"
        is_storage = module in ("torch", "torch.cuda") and name.endswith("Storage")
        if not is_storage and full_name not in _FUNCTIONS:
            raise _RefusedError(
                f"refused: loading it would run {full_name[:100]!r}; only tensors in plain dictionaries are read "
                "(torch.save(model.state_dict(), FILE) makes such a file)"
            )
        self.stack.append(_Function(name if is_storage else full_name))

    def _storage(self, identity: Any) -> _Storage:
        kind, function, key, _, elements = identity[:5]
        if kind != "storage" or any(entry is not None for entry in identity[5:]) or not isinstance(key, str):
            raise ValueError
        if function.name not in _DTYPES:
            raise _RefusedError(f"its numbers are of a kind that is not read ({function.name})")
        if type(elements) is not int or elements < 0:
            raise ValueError
        self.storages[key] = _Storage(key, _DTYPES[function.name], elements)
        return self.storages[key]


_NUMPY_CODES = frozenset(("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1"))
_PUSH_ARGUMENT = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "BINFLOAT", "FLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "UNICODE"),
        *("BINSTRING", "SHORT_BINSTRING", "STRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)
_PUSH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_JOIN = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": None}  # how many entries; None: those since the mark
