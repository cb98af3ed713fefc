"""Operators of ONNX, one by one: they compute what ONNX's own reference implementation computes."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from surefooted.errors import ModelError
from surefooted.models.external.onnx import read_onnx
from surefooted.models.external.onnx_ops import ONNX_OPERATORS

F4 = ("B", 2, 6, 6)


def node(operator, inputs=(), opset=18, shape=F4, **attributes):
    """A graph of one operator on ``x``; further inputs are constants."""
    names = [f"c{k}" if value is not None else "" for k, value in enumerate(inputs)]
    constants = [
        numpy_helper.from_array(np.asarray(v, np.int64 if np.asarray(v).dtype.kind == "i" else np.float32), name)
        for name, v in zip(names, inputs)
        if v is not None
    ]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *names], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def drawn(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


NODES = {
    "Abs": node("Abs"),
    "Add": node("Add", [drawn(2, 1, 1)]),
    "AveragePool": node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool counted": node("AveragePool", kernel_shape=[2, 2], pads=[0, 1, 1, 0], count_include_pad=1),
    "BatchNormalization": node("BatchNormalization", [drawn(2), drawn(2), drawn(2), [0.5, 2.0]], epsilon=1e-3),
    "Clip": node("Clip", [-0.5, 0.5]),
    "Clip one side": node("Clip", [None, 0.5]),
    "Clip old": node("Clip", opset=10, min=-0.5, max=0.5),
    "Concat": node("Concat", [drawn(3, 1, 6, 6)], axis=1, shape=(3, 2, 6, 6)),
    "Conv": node("Conv", [drawn(4, 1, 3, 3), drawn(4)], group=2, strides=[2, 1], pads=[1, 1, 1, 1], dilations=[1, 2]),
    "Conv uneven": node("Conv", [drawn(4, 2, 3, 3)], pads=[0, 1, 2, 1]),
    "Conv same": node("Conv", [drawn(4, 2, 4, 4)], auto_pad="SAME_UPPER", strides=[2, 2]),
    "Div": node("Div", [drawn(6)]),
    "Dropout": node("Dropout", [0.5]),
    "Elu": node("Elu", alpha=0.5),
    "Erf": node("Erf"),
    "Exp": node("Exp"),
    "Flatten": node("Flatten"),
    "Flatten from 2": node("Flatten", axis=2),
    "Flatten from the last": node("Flatten", axis=-1),
    "Gather": node("Gather", [[0, -1]], axis=2),
    "Gather scalar": node("Gather", [1], axis=1),
    "Gelu": node("Gelu", opset=20),
    "Gemm": node("Gemm", [drawn(6, 5), drawn(5)], shape=("B", 6), alpha=0.5, beta=2.0),
    "Gemm transposed": node("Gemm", [drawn(5, 6), drawn(5)], shape=("B", 6), transB=1),
    "GlobalAveragePool": node("GlobalAveragePool"),
    "GlobalMaxPool": node("GlobalMaxPool"),
    "HardSigmoid": node("HardSigmoid"),
    "HardSwish": node("HardSwish"),
    "Identity": node("Identity"),
    "InstanceNormalization": node("InstanceNormalization", [drawn(2), drawn(2)]),
    "LayerNormalization": node("LayerNormalization", [drawn(6), drawn(6)]),
    "LeakyRelu": node("LeakyRelu", alpha=0.2),
    "LRN": node("LRN", size=3, shape=(3, 3, 6, 6)),
    "LogSoftmax": node("LogSoftmax", axis=1),
    "MatMul": node("MatMul", [drawn(6, 3)]),
    "Max": node("Max", [drawn(6)]),
    "MaxPool": node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "MaxPool uneven": node("MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
    "MaxPool ceil": node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "Min": node("Min", [drawn(6)]),
    "Mul": node("Mul", [2.0]),
    "Neg": node("Neg"),
    "PRelu": node("PRelu", [drawn(2, 1, 1)]),
    "Pad": node("Pad", [[0, 0, 1, 2, 0, 0, 0, 1], 3.0]),
    "Pad axes": node("Pad", [[1, 2], None, [3]], opset=19),
    "Pad old": node("Pad", opset=10, pads=[0, 0, 1, 0, 0, 0, 0, 2]),
    "Pad reflect": node("Pad", [[0, 0, 1, 2, 0, 0, 0, 1]], mode="reflect"),
    "Pow": node("Pow", [2.0]),
    "ReduceMax": node("ReduceMax", [[1]]),
    "ReduceMean": node("ReduceMean", [[2, 3]], keepdims=0),
    "ReduceMean old": node("ReduceMean", opset=13, axes=[-1]),
    "ReduceSum": node("ReduceSum"),
    "Relu": node("Relu"),
    "Reshape": node("Reshape", [[0, -1]]),
    "Selu": node("Selu"),
    "Sigmoid": node("Sigmoid"),
    "Slice": node("Slice", [[1, -3], [5, 9], [2, 3], [2, 1]]),
    "Slice old": node("Slice", opset=9, starts=[1], ends=[-1], axes=[2]),
    "Softmax": node("Softmax"),
    "Softmax old": node("Softmax", opset=11, shape=("B", 6)),
    "Softplus": node("Softplus"),
    "Squeeze": node("Squeeze", [[1]], shape=("B", 1, 6)),
    "Squeeze old": node("Squeeze", opset=11, axes=[1], shape=("B", 1, 6)),
    "Sub": node("Sub", [drawn(6)]),
    "Sum": node("Sum", [drawn(6), drawn(6)]),
    "Tanh": node("Tanh"),
    "Transpose": node("Transpose", perm=[0, 2, 3, 1]),
    "Unsqueeze": node("Unsqueeze", [[1, -1]]),
    "Unsqueeze old": node("Unsqueeze", opset=11, axes=[0]),
}
# Between other operators only: on sizes, or with several results.
INNER = {"Cast", "ConstantOfShape", "Equal", "Expand", "Greater", "Less", "Log", "Mod", "Reciprocal", "Round", "Shape"}
INNER |= {"Split", "Sqrt", "Where"}


def test_every_operator_is_tested():
    assert {name.split()[0] for name in NODES} | INNER == ONNX_OPERATORS.keys()


@pytest.mark.parametrize("name", NODES)
def test_operators_compute_what_onnx_says(name, tmp_path):
    model = NODES[name]
    onnx.save(model, tmp_path / "one.onnx")
    shape = [d.dim_value or 3 for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = drawn(*shape)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    out = read_onnx(tmp_path / "one.onnx")(torch.from_numpy(x).requires_grad_())
    assert out.shape == expected.shape and np.allclose(out.detach(), expected, atol=1e-5)
    assert out.requires_grad


def test_an_old_softmax_is_over_all_dimensions_from_its_axis_on(tmp_path):
    onnx.save(node("Softmax", opset=11, axis=1), tmp_path / "one.onnx")
    assert torch.allclose(read_onnx(tmp_path / "one.onnx")(torch.rand(3, 2, 6, 6)).sum((1, 2, 3)), torch.ones(3))


def test_operators_on_sizes_and_with_several_results(tmp_path):
    def operation(operator, inputs, outputs=("y",), **attributes):
        return helper.make_node(operator, inputs, outputs, **attributes)

    two, minus = (numpy_helper.from_array(np.array(v, np.int64), n) for v, n in ((2, "two"), ([-1], "minus")))
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    nodes = [
        operation("Shape", ["x"], ["shape"], start=0, end=1),
        operation("Mod", ["shape", "two"], ["odd"]),
        operation("Sub", ["shape", "odd"], ["even"]),
        operation("Add", ["even", "odd"], ["batch"]),
        operation("Concat", ["batch", "minus"], ["sizes"], axis=0),
        operation("Reshape", ["x", "sizes"], ["flat"]),
        operation(
            "ConstantOfShape", ["batch"], ["ones"], value=helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        ),
        operation("Unsqueeze", ["ones", "minus"], ["column"]),
        operation("Expand", ["column", "sizes2"], ["wide"]),
        operation("Split", ["flat"], ["left", "right"], axis=1, num_outputs=2),
        operation("Greater", ["left", "right"], ["more"]),
        operation("Where", ["more", "left", "wide"], ["chosen"]),
        operation("Less", ["chosen", "half"], ["small"]),
        operation("Cast", ["small"], ["number"], to=TensorProto.FLOAT),
        operation("Exp", ["chosen"], ["exp"]),
        operation("Log", ["exp"], ["log"]),
        operation("Sqrt", ["exp"], ["root"]),
        operation("Reciprocal", ["root"], ["inverse"]),
        operation("Round", ["inverse"], ["round"]),
        operation("Equal", ["round", "number"], ["equal"]),
        operation("Where", ["equal", "log", "inverse"]),
    ]
    sizes2 = numpy_helper.from_array(np.array([3, 36], np.int64), "sizes2")
    graph = helper.make_graph(
        nodes,
        "sizes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, F4)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [two, minus, half, sizes2],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "sizes.onnx")
    x = drawn(3, 2, 6, 6)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert np.allclose(read_onnx(tmp_path / "sizes.onnx")(torch.from_numpy(x)), expected, atol=1e-5)


def test_an_old_split_has_as_many_parts_as_results(tmp_path):
    """Before opset 18 nothing else says how many."""
    nodes = [helper.make_node("Split", ["x"], ["left", "y"], axis=1)]
    graph = helper.make_graph(
        nodes,
        "halves",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, F4)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "s.onnx")
    x = torch.from_numpy(drawn(3, 2, 6, 6))
    assert torch.equal(read_onnx(tmp_path / "s.onnx")(x), x[:, 1:])


def test_operators_that_are_not_supported_are_all_named(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["a"]), helper.make_node("Own", ["a"], ["y"], domain="my.ops")],
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, F4)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"not supported: Det, my\.ops\.Own\. Export the model to \.pt2"):
        read_onnx(tmp_path / "odd.onnx")
    onnx.save(node("Relu", opset=6), tmp_path / "old.onnx")
    with pytest.raises(ModelError, match="opset 6; expected 7"):
        read_onnx(tmp_path / "old.onnx")


def test_a_constant_of_another_domain_is_not_the_standard_one(tmp_path):
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["c"], domain="my.ops", value=value),
            helper.make_node("Add", ["x", "c"], ["y"]),
        ],
        "custom",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, F4)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), tmp_path / "custom.onnx")
    with pytest.raises(ModelError, match=r"not supported: my\.ops\.Constant\."):
        read_onnx(tmp_path / "custom.onnx")


def test_the_window_of_an_even_local_response_norm(tmp_path):
    """By hand: the channels from c − ⌊(n − 1) / 2⌋ to c + ⌈(n − 1) / 2⌉. ONNX's own reference is wrong here."""
    onnx.save(node("LRN", size=2, alpha=2.0, beta=1.0, bias=1.0, shape=(1, 3, 1, 1)), tmp_path / "m.onnx")
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    expected = torch.tensor([1 / (1 + 1 + 4), 2 / (1 + 4 + 9), 3 / (1 + 9)])
    assert torch.allclose(read_onnx(tmp_path / "m.onnx")(x).flatten(), expected)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_padding_of_channels_is_refused_where_it_would_be_passed_over(mode, tmp_path):
    onnx.save(node("Pad", [[0, 1, 0, 0, 0, 1, 0, 0]], mode=mode, shape=(3, 4, 6, 6)), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="over images or channels is not supported"):
        read_onnx(tmp_path / "m.onnx")(torch.rand(3, 4, 6, 6))


def test_weights_in_bfloat16(tmp_path):
    model, values = node("Add", [drawn(6)]), torch.tensor([0.5, -1.25, 3.0, 0.0, 2.0, -7.5])
    weight = helper.make_tensor("c0", TensorProto.BFLOAT16, (6,), values.tolist())
    model.graph.initializer[0].CopyFrom(weight)
    onnx.save(model, tmp_path / "m.onnx")
    assert torch.equal(read_onnx(tmp_path / "m.onnx")(torch.zeros(1, 2, 6, 6)), values.expand(1, 2, 6, 6))
