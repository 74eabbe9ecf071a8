"""Networks as other programs write them, from which fuzzing of `shufflenet import` begins."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray


def onnx_of_many_operators() -> bytes:
    """A network with operators, and ways to write a shuffle or an activation, that this package does not export."""
    random, make = np.random.default_rng(0), onnx.helper.make_node
    weights = {
        "stem.weight": random.normal(0, 0.2, (8, 3, 3, 3)), "slope": np.full((4, 1, 1), 0.2), "zero": np.zeros(()),
        "six": np.full((), 6.0), "factor": random.uniform(0.5, 1, (1, 8, 1, 1)),
        "excite.weight": np.eye(8)[:, :, None, None],
        "fc.weight": random.normal(0, 0.3, (3, 4)), "fc.bias": np.zeros(3), "shift": np.ones((1, 3)),
        **{f"bn.{name}": np.ones(8) for name in ("weight", "bias", "running_mean", "running_var")},
    }  # fmt: skip
    numbers = {
        "first": [0], "groups": [2, 4], "side": [16, 16], "all_pixels": [2, 3], "pads": [0, 0, 0, 0, 0, 0, 1, 1],
        "order": [*range(4, 8), *range(4)], "one": [1], "two": [2], "end": [100],
    }  # fmt: skip
    nodes = [
        make("Conv", ["x", "stem.weight"], ["a"], "stem", strides=[2, 2], pads=[1, 1, 1, 1]),
        make(
            "BatchNormalization", ["a", *(f"bn.{n}" for n in ("weight", "bias", "running_mean", "running_var"))], ["b"]
        ),
        make("Clip", ["b", "zero", "six"], ["c"]),
        make("Shape", ["c"], ["shape"]),  # a shuffle, as exporters write it
        make("Gather", ["shape", "first"], ["batch"]),
        make("Concat", ["batch", "groups", "side"], ["apart"], axis=0),
        make("Reshape", ["c", "apart"], ["d"]),
        make("Transpose", ["d"], ["e"], perm=[0, 2, 1, 3, 4]),
        make("Reshape", ["e", "shape"], ["f"]),
        make("Split", ["f"], ["left", "right"], axis=1, num_outputs=2),
        make("PRelu", ["left", "slope"], ["g"]),
        make("HardSigmoid", ["right"], ["h"], alpha=1 / 6),
        make("Mul", ["right", "h"], ["i"]),
        make("Concat", ["g", "i"], ["j"], axis=1),
        make("Mul", ["j", "factor"], ["k"]),
        make("Pad", ["k", "pads"], ["l"]),
        make("MaxPool", ["l"], ["m"], kernel_shape=[3, 3], strides=[2, 2]),
        make("twice", ["m"], ["n"], domain="own"),
        make("ReduceMean", ["n", "all_pixels"], ["o"]),
        make("Conv", ["o", "excite.weight"], ["p"]),
        make("Sigmoid", ["p"], ["q"]),
        make("Mul", ["n", "q"], ["r"]),
        make("Gather", ["r", "order"], ["s"], axis=1),
        make("Slice", ["s", "one", "end", "one", "two"], ["t"]),
        make("AveragePool", ["t"], ["u"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        make("LeakyRelu", ["u"], ["v"]),
        make("GlobalAveragePool", ["v"], ["means"]),
        make("Flatten", ["means"], ["w"]),
        make("Gemm", ["w", "fc.weight", "fc.bias"], ["y"], transB=1),
        make("Sub", ["y", "shift"], ["logits"]),
        make("Softmax", ["logits"], ["probabilities"]),
    ]
    imports = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("own", 1)]
    again = [make("Relu", ["before"], ["between"]), make("Relu", ["between"], ["after"])]
    value, of = onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
    tensors = [of(weight.astype(np.float32), name) for name, weight in weights.items()]
    tensors += [of(np.array(number), name) for name, number in numbers.items()]
    picture, probabilities = value("x", 1, [1, 3, 32, 32]), value("probabilities", 1, [1, 3])
    graph = onnx.helper.make_graph(nodes, "many", [picture], [probabilities], tensors)
    functions = [onnx.helper.make_function("own", "twice", ["before"], ["after"], again, imports[:1])]
    model = onnx.helper.make_model(graph, functions=functions, opset_imports=imports, ir_version=8)
    return bytes(model.SerializeToString())


def onnx_of_channels_last() -> bytes:
    """A network of pictures [H, W, C], as TensorFlow's converters write it; weights are in a file of that name."""
    make, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        make("Transpose", ["x"], ["a"], perm=[0, 3, 1, 2]),
        make("Conv", ["a", "filters"], ["b"], strides=[2, 2], auto_pad="SAME_UPPER"),
        make("Sigmoid", ["b"], ["c"]),
        make("Mul", ["b", "c"], ["d"]),
        make("GlobalAveragePool", ["d"], ["e"]),
        make("Squeeze", ["e", "pixels"], ["y"]),
    ]
    filters = onnx.TensorProto(name="filters", dims=[5, 3, 3, 3], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    for key, text in (("location", "weights"), ("offset", "100"), ("length", "540")):
        filters.external_data.add(key=key, value=text)
    tensors = [filters, onnx.numpy_helper.from_array(np.array([2, 3]), "pixels")]
    graph = onnx.helper.make_graph(nodes, "last", [value("x", 1, ["n", 32, 32, 3])], [value("y", 1, [1, 5])], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def torch_export() -> bytes:
    """A program in the form in which torch.export.save writes one, of what `exported_program` reads of it."""
    random = np.random.default_rng(0)
    weights = {
        "stem.weight": random.normal(0, 0.2, (4, 3, 3, 3)),
        **{f"bn.{name}": np.ones(4) for name in ("weight", "bias", "mean", "var")},
        "fc.weight": random.normal(0, 0.3, (3, 4)), "fc.bias": np.zeros(3),
    }  # fmt: skip
    shapes = {
        "x": [1, 3, 32, 32], "a": [1, 4, 16, 16], "b": [1, 4, 16, 16], "c": [1, 4, 16, 16], "d": [1, 4, 8, 8],
        "left": [1, 2, 8, 8], "right": [1, 2, 8, 8],
        "e": [1, 4, 8, 8], "f": [1, 4, 8, 8], "g": [1, 4, 1, 1], "h": [1, 4], "y": [1, 3],
    }  # fmt: skip

    def call(target: str, outputs: str, **arguments: Any) -> dict[str, Any]:
        given = [{"name": key, "arg": _argument(value), "kind": 1} for key, value in arguments.items()]
        named = [{"name": name} for name in outputs.split()]
        made = {"as_tensors": named} if len(named) > 1 else {"as_tensor": named[0]}
        return {"target": f"torch.ops.aten.{target}", "inputs": given, "outputs": [made], "metadata": {}}

    normed = {"input": "a", "weight": "p_bn_weight", "bias": "p_bn_bias"}
    normed |= {"running_mean": "p_bn_mean", "running_var": "p_bn_var"}
    nodes = [
        call("conv2d.default", "a", input="x", weight="p_stem_weight", bias=None, stride=[2, 2], padding=[1, 1]),
        call("batch_norm.default", "b", **normed, training=False, momentum=0.1, eps=1e-5, cudnn_enabled=True),
        call("hardtanh_.default", "c", self="b", min_val=0, max_val=6),
        call("max_pool2d.default", "d", self="c", kernel_size=[2, 2]),
        call("split.Tensor", "left right", self="d", split_size=2, dim=1),
        call("cat.default", "e", tensors=["right", "left"], dim=1),
        call("add.Tensor", "f", self="e", other="d"),
        call("mean.dim", "g", self="f", dim=[2, 3], keepdim=True),
        call("flatten.using_ints", "h", self="g", start_dim=1),
        call("linear.default", "y", input="h", weight="p_fc_weight", bias="p_fc_bias"),
    ]
    signature = {
        "input_specs": [
            *(
                {"parameter": {"arg": {"name": f"p_{name.replace('.', '_')}"}, "parameter_name": name}}
                for name in weights
            ),
            {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
        ],
        "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
    }
    values = {name: {"dtype": 7, "sizes": [{"as_int": n} for n in shape]} for name, shape in shapes.items()}
    module = {"graph": {"nodes": nodes, "tensor_values": values}, "signature": signature}
    config = {name: _stored(f"weight_{number}", weight) for number, (name, weight) in enumerate(weights.items())}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, document in (
            ("models/model.json", {"graph_module": module}),
            ("data/weights/model_weights_config.json", {"config": config}),
            ("data/constants/model_constants_config.json", {"config": {}}),
        ):
            archive.writestr(f"archive/{name}", json.dumps(document))
        for number, weight in enumerate(weights.values()):
            archive.writestr(f"archive/data/weights/weight_{number}", weight.astype(np.float32).tobytes())
    return file.getvalue()


def _stored(member: str, weight: NDArray[Any]) -> dict[str, Any]:
    """What is said of a tensor that a member of the archive holds as it is."""
    strides = [stride // weight.itemsize for stride in weight.strides]
    sizes = {"sizes": [{"as_int": n} for n in weight.shape], "strides": [{"as_int": n} for n in strides]}
    meta = {"dtype": 7, **sizes, "storage_offset": {"as_int": 0}}
    return {"path_name": member, "is_param": True, "use_pickle": False, "tensor_meta": meta}


def _argument(value: Any) -> dict[str, Any]:
    """A call's argument, told with its type."""
    match value:
        case None:
            return {"as_none": True}
        case bool():
            return {"as_bool": value}
        case int():
            return {"as_int": value}
        case float():
            return {"as_float": value}
        case str():
            return {"as_tensor": {"name": value}}
        case [str(), *_]:
            return {"as_tensors": [{"name": name} for name in value]}
        case _:
            return {"as_ints": value}
