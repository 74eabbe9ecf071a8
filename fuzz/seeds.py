"""Writes the files from which fuzzing begins: FOLDER/TARGET/NAME for each target, and FOLDER/net, plain C of a network.

They are small, so that a run of one takes little time, and between them use every kind of step, picture format, tensor
and archive that is read.

    python fuzz/seeds.py FOLDER
"""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from random_quantized import random_quantized
from shufflenet import model_file
from shufflenet.engine.plan import make_plan
from shufflenet.exporters import export
from shufflenet.networks.graph import Graph, Node
from shufflenet.networks.model import Model
from shufflenet.networks.quantized import SCHEME
from shufflenet.networks.shufflenet_v1 import ShuffleNetV1
from shufflenet.pictures.preprocessing import Preprocessing

_SMALL = Preprocessing(size=32, resize=36)
_REQUESTS = [  # sizes of fuzz/preprocess.c: size, resize, height, width, of the picture; fourth byte, gap, lines, level
    (32, 36, 32, 32, 40, 30, 0, 0, 255, 0),
    (32, 32, 32, 32, 7, 90, 1, 5, 2, 1),
    (224, 256, 24, 16, 200, 150, 0, 1, 0, 0),
    (9, 10, 9, 9, 300, 260, 1, 0, 6, 1),
    (1, 1, 1, 1, 1, 1, 0, 0, 0, 0),
]


def write(folder: Path) -> None:
    """Writes all seeds below ``folder``, and the exported network."""
    write_inputs(folder)
    export(random_model(_shufflenet()), "c", folder / "net", name="net", check=False)


def write_inputs(folder: Path) -> None:
    """Writes the seeds of each target below ``folder``."""
    seeds = {
        "plan": _plans(),
        "preprocess": _preprocessing(),
        "exported": _ppms(),
        "pictures": _pictures(),
        "model_files": _model_files(),
        "checkpoints": _checkpoints(),
        "archives": _archives(),
        "http_requests": _http_requests(),
        "programs": _programs(),
    }
    for target, files in seeds.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(files):
            (folder / target / str(number)).write_bytes(data)


def random_model(graph: Graph) -> Model:
    """Weights drawn so that logits stay near one."""
    random = np.random.default_rng(0)
    tensors = {}
    for name, shape in graph.tensor_shapes().items():
        if len(shape) > 1:
            tensor = random.normal(0, 1 / math.sqrt(math.prod(shape[1:])), shape)
        else:
            tensor = np.full(shape, 0.0 if name.endswith(("bias", "mean")) else 1.0)
        tensors[name] = tensor.astype(np.float32)
    return Model(graph, tensors, _SMALL, [f"class {number}" for number in range(graph.classes)])


def _shufflenet() -> Graph:
    return ShuffleNetV1(2, 0.05, classes=5, shallow=True).graph()


def few_operators() -> Graph:
    """A network that files describe operator by operator, of few of them."""
    graph = Graph("few_operators")
    x: Node = graph.convolution("stem", graph.input, 4, 3, stride=2, batch_norm="bn0", activation="relu")
    x = graph.max_pool("pool", x)
    y: Node = graph.convolution("a", graph.shuffle("shuffle", x, 2), 4, 1, groups=2, batch_norm="bn1")
    y = graph.depthwise("b", y, stride=1, batch_norm="bn2")
    y = graph.convolution("c", y, 4, 1, groups=2, batch_norm="bn3")
    y = graph.add("add", y, x, activation="relu")
    graph.fully_connected("fc", graph.global_average_pool("mean", y), 3)
    return graph


def _plans() -> Iterator[bytes]:
    from random_network import every_operator  # not above: it needs PyTorch

    for graph in (few_operators(), every_operator(), _shufflenet()):
        yield make_plan(random_model(graph), 32, 32)
    yield make_plan(random_model(few_operators()), 48, 33, sliding_words=256)  # in strips of few lines
    for quantized in (few_operators(), _shufflenet()):
        yield make_plan(random_quantized(quantized), 32, 32)


def _preprocessing() -> Iterator[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, 200, dtype=np.uint8).tobytes()
    for request in _REQUESTS:
        yield struct.pack("<6i4B", *request) + pixels


def _colours(height: int, width: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 9 % 256, y * 7 % 256, x * y % 256], axis=-1).astype(np.uint8))


def _ppms() -> Iterator[bytes]:
    for height, width in ((30, 40), (1, 1), (70, 3)):
        yield b"P6\n%d %d\n255\n" % (width, height) + _colours(height, width).tobytes()


def _pictures() -> Iterator[bytes]:
    """A picture of every format, and of the modes that become RGB in other ways."""
    colours = _colours(20, 24)
    saved: list[tuple[Image.Image, str, dict[str, Any]]] = [
        *((colours, format_, {}) for format_ in ("PNG", "JPEG", "BMP", "PPM", "WEBP", "TIFF", "GIF")),
        (colours, "JPEG", {"progressive": True}),
        (colours.convert("CMYK"), "JPEG", {}),
        (colours.convert("RGBA"), "PNG", {}),
        (colours.convert("P"), "PNG", {"transparency": 3}),
        (colours.convert("LA"), "PNG", {}),
        (colours.convert("1"), "PNG", {}),
        (Image.fromarray(np.asarray(colours.convert("L"), np.uint16) * 257), "PNG", {}),
        (colours.convert("RGBA"), "WEBP", {"lossless": True}),
        *((colours, "TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
        (colours.convert("1"), "TIFF", {"compression": "group4"}),
        (colours.convert("L"), "BMP", {}),
    ]
    exif = Image.Exif()
    exif[0x0112] = 6
    saved.append((colours, "JPEG", {"exif": exif}))
    for picture, format_, options in saved:
        file = io.BytesIO()
        picture.save(file, format_, **options)
        yield file.getvalue()


def _model_files() -> Iterator[bytes]:
    models = [random_model(graph) for graph in (few_operators(), _shufflenet())]
    for graph in (few_operators(), _shufflenet()):
        labels = [f"class {number}" for number in range(graph.classes)]
        parts = random_quantized(graph).quantized
        assert parts is not None
        models.append(Model(graph, {}, _SMALL, labels, quantized=replace(parts, about={"scheme": SCHEME})))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for model in models:
            model_file.save(model, path)
            yield path.read_bytes()
        model_file.save(models[0], path, np.float16)
        yield path.read_bytes()


def _checkpoints() -> Iterator[bytes]:
    import torch

    tensors = {name: torch.from_numpy(tensor) for name, tensor in random_model(few_operators()).tensors.items()}
    tensors["few.num_batches_tracked"] = torch.tensor(3)
    tensors["part"] = torch.arange(12.0).reshape(3, 4).T[1:]
    contents = [tensors, {"state_dict": tensors, "epoch": 3, "best_acc1": 71.5, "arch": "net", "lr": [0.1, None]}]
    for value in contents:
        for as_zip in (True, False):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=as_zip)
            yield file.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net.pth", file.getvalue())
    yield packed.getvalue()


def _archives() -> Iterator[bytes]:
    picture = _png()
    trees = [
        {f"{split}/{name}/{number}.png": picture for split in ("train", "val") for name in "ab" for number in range(2)},
        {f"data/{name}/{number}.png": picture for name in "abc" for number in range(3)},
        {
            "a/1.png": picture,
            "a/2.png": picture,
            "b/1.png": picture,
            "classes.tsv": b"a\tfirst\nb\tsecond\n",
            "b/x.txt": b"",
        },
    ]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for tree in trees:
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", method) as archive:
                for name, data in tree.items():
                    archive.writestr(name, data)
            yield file.getvalue()
    for with_names in (True, False):
        file = io.BytesIO()
        with tarfile.open(
            fileobj=file, mode="w", format=tarfile.PAX_FORMAT if with_names else tarfile.USTAR_FORMAT
        ) as tar:
            for number in range(6):
                kind = b"ab"[number % 2 : number % 2 + 1] if with_names else b"%d" % (number % 2)
                for suffix, data in ((".png", picture), (".cls", kind)):
                    member = tarfile.TarInfo(f"{number}{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        yield file.getvalue()


def _png() -> bytes:
    pixels = io.BytesIO()
    _colours(4, 4).save(pixels, "PNG")
    return pixels.getvalue()


def _http_requests() -> Iterator[bytes]:
    picture, told = _png(), b"host: x\r\nauthorization: Bearer abc"

    def asked(line: bytes, body: bytes, kind: bytes = b"image/png") -> bytes:
        return b"%s HTTP/1.1\r\n%s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (
            line, told, kind, len(body), body
        )  # fmt: skip

    text = base64.b64encode(picture).decode()
    for path, document in (
        ("/predict", {"image": text, "top_k": 2}),
        ("/predictions/few", {"images": [text, "data:image/png;base64," + text]}),
        ("/", {"inputs": text, "parameters": {"top_k": 1}}),
    ):
        yield asked(b"POST %s" % path.encode(), json.dumps(document).encode(), b"application/json")
    part = b'--xyz\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n%s\r\n'
    yield asked(
        b"POST /predict", part % picture + part % b"none" + b"--xyz--\r\n", b"multipart/form-data; boundary=xyz"
    )
    yield asked(b"PUT /predictions/few?top_k=1", picture) * 2  # without waiting for the first answer
    yield asked(b"POST /predict", picture)[:-9]  # the client leaves
    head = b"POST / HTTP/1.1\r\n%s\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n" % told
    yield head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(picture), picture)
    for path in (
        "/",
        "/folder",
        "/numbers.txt",
        "/metrics",
        "/openapi.json",
        "/v2/models/few",
        "/v2/models/few/ready",
    ):
        yield b"GET %s HTTP/1.1\r\n%s\r\nrange: bytes=0-1,3-\r\n\r\n" % (path.encode(), told)


def _programs() -> Iterator[bytes]:
    """ONNX as this package writes it, ONNX with other programs' operators, and what torch.export saves."""
    from program_seeds import onnx_of_channels_last, onnx_of_many_operators, torch_export  # not above: it needs onnx
    from shufflenet.exporters.onnx import make

    yield make(random_model(few_operators()), "few", (32, 32)).SerializeToString()
    yield onnx_of_many_operators()
    yield onnx_of_channels_last()
    yield torch_export()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
