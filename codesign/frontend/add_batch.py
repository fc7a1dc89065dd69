"""A batch axis for recurrent networks that were written without one.

In qonnx's form a sequence is (steps, features) or (steps, features, 1), and the body of its Scan
works on vectors or columns. All computed tensors get a batch of one in front; whatever names axes
then names them one further.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.frontend.check import where
from codesign.frontend.scan.body import body_of, names_read
from codesign.ops.unary import FUNCTIONS

#: Operators that work element by element: a further axis in front changes nothing.
ALONG = frozenset(FUNCTIONS) | frozenset(
    {"Quant", "BipolarQuant", "FloatQuant", "Trunc", "Add", "Sub", "Mul", "Div", "Min", "Max"}
    | {"Sum", "Relu", "PRelu", "Clip", "Cast", "Identity", "Dropout", "Pow"}
    | {"QuantizeLinear", "DequantizeLinear"}
)
#: Operators whose attribute ``axis`` counts from the front.
AXIS = frozenset({"Concat", "Split", "Softmax", "ArgMax", "Gather"})


def add_batch(model: ModelProto) -> None:
    """Rewrite the nodes behind the network input in place; :class:`UnsupportedModel` for one
    that cannot be rewritten."""
    graph = model.graph
    computed = {graph.input[0].name: len(graph.input[0].type.tensor_type.shape.dim)}
    opset = next(o.version for o in model.opset_import if not o.domain)
    _Rewrite(graph, graph, opset).run(computed)


class _Rewrite:
    """The nodes of ``graph``; new constants go into ``outer``."""

    def __init__(self, graph: GraphProto, outer: GraphProto, opset: int) -> None:
        self._graph, self._outer, self._opset = graph, outer, opset
        self._constants = {
            t.name: numpy_helper.to_array(t) for t in (*graph.initializer, *outer.initializer)
        }
        self._done: list[NodeProto] = []

    def run(self, computed: dict[str, int]) -> dict[str, int]:
        """``computed``: tensors that get the axis, with their axes before; also the result."""
        for node in self._graph.node:
            if any(name in computed for name in names_read(node)):
                rank = self._node(node, computed)
                computed |= {name: rank for name in node.output if name and name not in computed}
            self._done.append(node)
        copies = [NodeProto.FromString(n.SerializeToString()) for n in self._done]
        del self._graph.node[:]
        self._graph.node.extend(copies)
        return computed

    def _node(self, node: NodeProto, computed: dict[str, int]) -> int:
        """Rewrite one node; the axes of its outputs, the new one not counted."""
        rank = max(computed.get(name, 0) for name in names_read(node))
        if body_of(node) is not None:
            return self._scan(node, computed)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            shift(node, "axis", 1)
        elif node.op_type in AXIS:
            shift(node, "axis", {"Softmax": -1}.get(node.op_type, 0))
        elif node.op_type == "MatMul":
            if rank == 1 and node.input[1] in computed:  # W @ vector
                name = self._turned(node, node.input[0])
                node.input[:] = [node.input[1], name]
        elif node.op_type == "Slice":
            self._slice(node)
        elif node.op_type not in ALONG:
            raise UnsupportedModel(
                f"operator '{node.op_type}' in a network without a batch axis",
                where=where(node),
                hint="give the network input a batch axis: (1, steps, features)",
            )
        return rank

    def _constant(self, name: str, values: list[int]) -> str:
        array = np.array(values, dtype=np.int64)
        self._outer.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _turned(self, node: NodeProto, name: str) -> str:
        """The weights ``name`` transposed."""
        out = f"{node.output[0]}/weights"
        self._done.append(helper.make_node("Transpose", [name], [out], out, perm=[1, 0]))
        return out

    def _slice(self, node: NodeProto) -> None:
        axes = self._constants.get(node.input[3]) if len(node.input) > 3 else None
        if axes is None:
            raise UnsupportedModel(
                "a Slice without constant axes in a network without a batch axis",
                where=where(node),
                hint="give the network input a batch axis: (1, steps, features)",
            )
        shifted = [int(a) + (a >= 0) for a in axes.ravel()]
        node.input[3] = self._constant(f"{node.output[0]}/axes", shifted)

    def _scan(self, node: NodeProto, computed: dict[str, int]) -> int:
        body = body_of(node)
        assert body is not None
        scans = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
        states = len(node.input) - scans
        inside: dict[str, int] = {}
        ranks = [computed.get(name, 0) for name in node.input[states:]]
        _shift_all(node, "scan_input_axes", [rank > 0 for rank in ranks])
        _shift_all(node, "scan_output_axes", [True] * (len(node.output) - states))
        for i, port in enumerate(body.input):
            if i >= states and not ranks[i - states]:
                continue
            inside[port.name] = max(ranks) - 1
            port.type.tensor_type.ClearField("shape")
            if i < states:
                node.input[i] = self._batched(node, node.input[i])
        for port in body.output:
            port.type.tensor_type.ClearField("shape")
        read = {name: computed[name] for name in names_read(node) if name in computed}
        _Rewrite(body, self._outer, self._opset).run({**read, **inside})
        for name in node.output[:states]:
            if name:
                computed[name] = max(ranks) - 1
        return max(ranks)

    def _batched(self, node: NodeProto, name: str) -> str:
        """The initial state ``name`` with a batch axis."""
        out = f"{name}/batch/{node.output[0] or node.name}"
        if self._opset < 13:
            made = helper.make_node("Unsqueeze", [name], [out], out, axes=[0])
        else:
            axes = self._constant(f"{out}/axes", [0])
            made = helper.make_node("Unsqueeze", [name, axes], [out], out)
        self._done.append(made)
        return out


def shift(node: NodeProto, name: str, default: int) -> None:
    """Let the axis that attribute ``name`` counts from the front be one further."""
    axis = next((a.i for a in node.attribute if a.name == name), default)
    kept = [type(a).FromString(a.SerializeToString()) for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, axis + (axis >= 0))])


def _shift_all(node: NodeProto, name: str, which: list[bool]) -> None:
    axes = next((list(a.ints) for a in node.attribute if a.name == name), [0] * len(which))
    shifted = [a + (a >= 0 and moved) for a, moved in zip(axes, which, strict=False)]
    kept = [type(a).FromString(a.SerializeToString()) for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, shifted)])
