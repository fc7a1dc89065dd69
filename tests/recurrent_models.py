"""Recurrent QONNX models in qonnx's form: a Scan whose body quantizes every gate and product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.models import DOMAIN, Builder

UNSIGNED = {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
SIGNED = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}


@dataclass(frozen=True)
class Recurrent:
    """Recipe. ``layout``: 'batch' scans axis 1 of (1, T, F); 'time' axis 0 of (T, 1, F) between
    transposes; 'rows' (T, F) and 'columns' (T, F, 1) have no batch at all. ``result``: 'last' is
    the final hidden state, 'all' the states of all steps, 'layer' a dense layer of the last."""

    cell: str = "rnn"
    steps: int = 5
    inputs: int = 3
    hidden: int = 4
    layout: str = "batch"
    result: str = "all"
    factor: float = 1.0  # of every scale: 1 leaves powers of two
    backward: bool = False
    seed: int = 0


class Cell(Builder):
    """Builds a body; weights are quantized inside it."""

    def __init__(self, recipe: Recurrent) -> None:
        super().__init__(recipe.seed)
        self.recipe = recipe
        self.column = recipe.layout == "columns"

    def act(self, x: str, name: str, scale: float, bits: int = 5, signed: bool = True) -> str:
        attrs = SIGNED if signed else UNSIGNED
        return self.quant(x, name, scale * self.recipe.factor, 0, bits, **attrs)

    def dense(self, x: str, name: str, rows: int, columns: int) -> str:
        """A product with 4-bit weights, quantized to 6 bits."""
        weight = self.rng.normal(0, 0.5, (rows, columns))
        weight = self.const(f"{name}.weight", weight if self.column else weight.T)
        weight = self.quant(weight, f"{name}_w", 0.125 * self.recipe.factor, 0, 4, **SIGNED)
        ins = [weight, x] if self.column else [x, weight]
        return self.act(self.node("MatMul", ins, f"{name}_mm"), f"{name}_q", 0.125, 6)

    def bias(self, name: str, size: int) -> str:
        values = np.round(self.rng.normal(0, 2, size)) * 0.125 * self.recipe.factor
        return self.const(name, values.reshape(-1, 1) if self.column else values)

    def gate(self, name: str, function: str, h: str = "h") -> str:
        """``function(Q(W x) + Q(U h) + b)``, quantized."""
        r = self.recipe
        x = self.dense("x_t", f"{name}_x", r.hidden, r.inputs)
        total = self.node("Add", [x, self.dense(h, f"{name}_h", r.hidden, r.hidden)], f"{name}_s")
        total = self.node("Add", [total, self.bias(f"{name}_b", r.hidden)], f"{name}_sb")
        return self.activation(total, name, function)

    def activation(self, x: str, name: str, function: str) -> str:
        signed = function == "Tanh"
        return self.act(self.node(function, [x], f"{name}_f"), name, 1 / 16, 5, signed)

    def product(self, a: str, b: str, name: str) -> str:
        return self.act(self.node("Mul", [a, b], f"{name}_m"), name, 1 / 16)

    def sum(self, a: str, b: str, name: str, scale: float = 1 / 16) -> str:
        return self.act(self.node("Add", [a, b], f"{name}_a"), name, scale)


def rnn(b: Cell) -> list[str]:
    """The new states (just h)."""
    return [b.gate("h_new", "Tanh")]


def gru(b: Cell) -> list[str]:
    """n = tanh(W x + r * (U h)); h = (1 - z) * n + z * h."""
    size = b.recipe.hidden
    reset, update = b.gate("r", "Sigmoid"), b.gate("z", "Sigmoid")
    inner = b.product(reset, b.dense("h", "n_h", size, size), "n_r")
    outer = b.dense("x_t", "n_x", size, b.recipe.inputs)
    new = b.activation(b.node("Add", [inner, outer], "n_s"), "n", "Tanh")
    rest = b.node("Sub", [b.const("one", 1.0), update], "rest")
    kept, fresh = b.product(update, "h", "kept"), b.product(rest, new, "fresh")
    return [b.sum(kept, fresh, "h_new")]


def lstm(b: Cell) -> list[str]:
    """h and c."""
    i, f, o = (b.gate(name, "Sigmoid") for name in ("i", "f", "o"))
    g = b.gate("g", "Tanh")
    c = b.sum(b.product(f, "c", "f_c"), b.product(i, g, "i_g"), "c_new", 1 / 8)
    return [b.product(o, b.activation(c, "c_t", "Tanh"), "h_new"), c]


def late(b: Cell) -> list[str]:
    """A state carried in float32, quantized where it is read."""
    h = b.act("h", "h_q", 1 / 16)
    x = b.dense("x_t", "g_x", b.recipe.hidden, b.recipe.inputs)
    total = b.node("Add", [x, b.dense(h, "g_h", b.recipe.hidden, b.recipe.hidden)], "g_s")
    return [b.node("Tanh", [total], "h_new")]


CELLS = {"late": late, "rnn": rnn, "gru": gru, "lstm": lstm}


def body(recipe: Recurrent) -> onnx.GraphProto:
    """The cell's graph: states and one step in, states and one output out."""
    b = Cell(recipe)
    states = CELLS[recipe.cell](b)
    out = b.node("Identity", [states[0]], "y_t")
    names = ["h", "c"][: len(states)]
    ports = [_port(name, _step(recipe, recipe.hidden)) for name in names]
    ports.append(_port("x_t", _step(recipe, recipe.inputs)))
    ends = [_port(name, _step(recipe, recipe.hidden)) for name in (*states, out)]
    return helper.make_graph(b.nodes, "cell", ports, ends, b.inits)


def _port(name: str, shape: list[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _step(recipe: Recurrent, size: int) -> list[int]:
    return {"rows": [size], "columns": [size, 1]}.get(recipe.layout, [1, size])


def model(recipe: Recurrent) -> onnx.ModelProto:
    """Quantized input, Scan, and the result, quantized."""
    r, b = recipe, Cell(recipe)
    shape = {"rows": [r.steps, r.inputs], "columns": [r.steps, r.inputs, 1]}.get(
        r.layout, [1, r.steps, r.inputs]
    )
    x = b.act("x", "x_q", 0.25)
    if r.layout == "time":
        x = b.node("Transpose", [x], "x_time", perm=[1, 0, 2])
    count = 2 if r.cell == "lstm" else 1
    zeros = [f"zero_{n}" for n in range(count)]
    for name in zeros:
        b.inits.append(numpy_helper.from_array(np.zeros(_step(r, r.hidden), np.float32), name))
    last = [f"last_{n}" for n in range(count)]
    axis = 1 if r.layout == "batch" else 0
    b.nodes.append(
        helper.make_node(
            "Scan", [*zeros, x], [*last, "states"], "loop", body=body(r), num_scan_inputs=1,
            scan_input_axes=[axis], scan_output_axes=[axis],
            scan_input_directions=[int(r.backward)], scan_output_directions=[int(r.backward)],
        )
    )  # fmt: skip
    y = last[0]
    if r.result == "all":
        y = "states"
        if r.layout == "time":
            y = b.node("Transpose", [y], "y_batch", perm=[1, 0, 2])
    elif r.result == "layer":
        y = b.dense(y, "fc", 3, r.hidden)
    y = b.act(y, "y", 1 / 8)
    graph = helper.make_graph(b.nodes, "recurrent", [_port("x", shape)], [_out(y)], b.inits)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def stacked(layout: str = "batch") -> onnx.ModelProto:
    """Two layers of one Scan each, with the same names in both bodies."""
    r = Recurrent(layout=layout, inputs=4)
    b = Cell(r)
    x = b.act("x", "x_q", 0.25)
    if layout == "time":
        x = b.node("Transpose", [x], "x_time", perm=[1, 0, 2])
    b.inits.append(numpy_helper.from_array(np.zeros((1, 4), np.float32), "zero"))
    axis = 1 if layout == "batch" else 0
    for name in ("first", "second"):
        b.nodes.append(
            helper.make_node(
                "Scan", ["zero", x], [f"{name}_last", name], name, body=body(r),
                num_scan_inputs=1, scan_input_axes=[axis], scan_output_axes=[axis],
            )
        )  # fmt: skip
        x = b.act(name, f"{name}_q", 1 / 8)
    y = b.node("Transpose", [x], "y", perm=[1, 0, 2]) if layout == "time" else x
    graph = helper.make_graph(b.nodes, "stacked", [_port("x", [1, 5, 4])], [_out(y)], b.inits)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def as_qcdq(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` with QuantizeLinear, Clip and DequantizeLinear for each Quant: the form in which
    qonnx' own LSTM runs in onnxruntime, body and all."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    loops = [a.g for n in out.graph.node for a in n.attribute if a.name == "body"]
    for graph in (*loops, out.graph):
        nodes = [made for node in graph.node for made in _qcdq(graph, node)]
        copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return out


def _qcdq(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    if node.op_type != "Quant":
        return [node]
    known = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    bits, signed = int(known[node.input[3]]), attrs["signed"]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    name, kind = node.output[0], np.int8 if signed else np.uint8
    parts = {"scale": known[node.input[1]], "zp": kind(0), "lo": kind(low), "hi": kind(high)}
    for part, value in parts.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"{name}_{part}8"))
    scale, zero, lo, hi = (f"{name}_{part}8" for part in parts)
    return [
        helper.make_node("QuantizeLinear", [node.input[0], scale, zero], [f"{name}_q8"]),
        helper.make_node("Clip", [f"{name}_q8", lo, hi], [f"{name}_c8"]),
        helper.make_node("DequantizeLinear", [f"{name}_c8", scale, zero], [name]),
    ]


def _out(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
