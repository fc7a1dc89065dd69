"""Networks whose batch axis wanders: what they do to a batch of one, for any number of frames.

PyTorch's attention works on (tokens, batch, features) and on (batch x heads, tokens, features);
other networks drop a batch of one, or put it back. For one frame such a Transpose or Reshape moves
nothing. The tensors in between get a batch axis of their own in front of all they have, so that
frames are stacked and never mixed: (tokens, 1, features) becomes (batch, tokens, 1, features). A
tensor whose own first axis has size one is a batch of frames again without it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference

from codesign.frontend.add_batch import ALONG, AXIS, shift
from codesign.frontend.check import QUANT_OPS

Shape = tuple[int, ...]
#: Other views of the same elements in the same order: a Reshape says it as well.
_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
#: Element by element: a further axis in front changes nothing.
_ELEMENTWISE = ALONG | frozenset(
    {"Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "And", "Or", "Not", "Where"}
)
#: The default of the attribute ``axis``, where it is not 0.
_LAST = frozenset({"Softmax", "LogSoftmax", "LayerNormalization", "TopK"})
_REDUCES = frozenset({"ReduceMean", "ReduceSum", "ReduceMax"})


def stack_frames(model: ModelProto) -> None:
    """Rewrite ``model``, cleaned, in place where its batch is one; a network that keeps its batch
    first stays as it is, and so does one with an operator for which no rule is known."""
    if model.graph.input[0].type.tensor_type.shape.dim[0].dim_value != 1:
        return
    rewrite = _Rewrite(model)
    try:
        rewrite.run()
    except _Unknown:
        return
    if rewrite.stacked:
        nodes = [NodeProto.FromString(n.SerializeToString()) for n in rewrite.done]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        model.graph.initializer.extend(
            numpy_helper.from_array(array, name) for name, array in rewrite.made.items()
        )


class _Unknown(Exception):
    """No rule for a node, or no shape for a tensor."""


class _Rewrite:
    """One walk over the nodes."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        self._opset = next(o.version for o in model.opset_import if not o.domain)
        self._shapes: dict[str, Shape] | None = None
        self._model = model
        self._constants = {t.name: t for t in model.graph.initializer}
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    self._constants[node.output[0]] = attribute.t
        #: Tensors with the batch first, as in the file.
        self._plain = {model.graph.input[0].name}
        #: Tensors of the file -> their frames stacked.
        self.stacked: dict[str, str] = {}
        self.made: dict[str, np.ndarray] = {}
        self.done: list[NodeProto] = []

    def run(self) -> None:
        """Fill ``done`` with the nodes, rewritten where the batch is not first."""
        for node in self._graph.node:
            computed = [n for n in node.input if n in self._plain or n in self.stacked]
            if computed and (not self._plain.issuperset(computed) or self._leaves(node)):
                self._stack(node)
            else:
                self.done.append(node)
                self._plain.update(node.output if computed else ())

    def _leaves(self, node: NodeProto) -> bool:
        """Whether ``node`` takes the batch from the front of a tensor that has it there."""
        rank = len(self._shape(node.input[0])) if node.op_type in {*_VIEWS, "Gather"} else 0
        if node.domain:
            return False
        if node.op_type == "Transpose":
            perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), [1])
            return perm[:1] != [0]
        if node.op_type == "Flatten":
            return _attribute(node, "axis", 1) not in (1, 1 - rank)
        if node.op_type in ("Squeeze", "Unsqueeze"):
            after = len(self._shape(node.output[0]))
            axes = self._axes(node, 1)
            return axes is None or 0 in axes or -max(rank, after) in axes
        if node.op_type == "Gather":
            return _attribute(node, "axis", 0) in (0, -rank) and not self._shape(node.input[1])
        return node.op_type == "Reshape" and self._shape(node.output[0])[:1] != (1,)

    def _stack(self, node: NodeProto) -> None:
        """Write ``node`` for stacked frames; what it yields with a first axis of one also as a
        batch of frames."""
        if node.domain and node.op_type not in QUANT_OPS:
            raise _Unknown
        made = NodeProto()
        made.CopyFrom(node)
        results = {name: f"{name}/stacked" if self._batch(name) else name
                   for name in filter(None, node.output)}  # fmt: skip
        made.output[:] = [results.get(name, "") for name in node.output]
        self._rule(node.op_type)(made, node)
        self.stacked |= results
        for name, stacked in results.items():
            if stacked != name:
                self._reshape(stacked, name, self._shape(name))
                self._plain.add(name)

    def _batch(self, name: str) -> bool:
        shape = self._shape(name)
        return len(shape) > 1 and shape[0] == 1

    def _rule(self, op_type: str) -> Callable[[NodeProto, NodeProto], None]:
        if op_type in _VIEWS:
            return self._view
        if op_type in _ELEMENTWISE:
            return self._elementwise
        rules = {"Transpose": self._transpose, "MatMul": self._matmul, "Gemm": self._gemm}
        if op_type in rules:
            return rules[op_type]
        if op_type in AXIS | _LAST:
            return self._along_axis
        if op_type in _REDUCES | {"Slice"}:
            return self._over_axes
        raise _Unknown

    # rules: they finish ``made``, a copy of ``node`` with its new outputs, and write it -----------

    def _view(self, made: NodeProto, node: NodeProto) -> None:
        source = self._read(node.input[0])
        self._reshape(source, made.output[0], (1, *self._shape(node.output[0])))

    def _elementwise(self, made: NodeProto, node: NodeProto) -> None:
        self._inputs(made, node)
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            shift(made, "axis", 1)
        self.done.append(made)

    def _transpose(self, made: NodeProto, node: NodeProto) -> None:
        rank = len(self._shape(node.input[0]))
        perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        perm = [*range(rank - 1, -1, -1)] if perm is None else perm
        if sorted(perm) != [*range(rank)]:
            raise _Unknown
        _set(made, "perm", [0, *(p + 1 for p in perm)])
        made.input[0] = self._read(node.input[0])
        self.done.append(made)

    def _matmul(self, made: NodeProto, node: NodeProto) -> None:
        left, right = (len(self._shape(name)) for name in node.input)
        if right < 2 or (left < 2 and not self._known(node.input[1])):
            raise _Unknown
        self._inputs(made, node)
        self.done.append(made)

    def _gemm(self, made: NodeProto, node: NodeProto) -> None:
        """A product and a sum: Gemm has no further axes."""
        factors = {_attribute(node, name, 1.0) for name in ("alpha", "beta")}
        bias = node.input[2] if len(node.input) > 2 else ""
        known = all(self._known(name) for name in (node.input[1], bias) if name)
        if factors != {1.0} or _attribute(node, "transA", 0) or not known:
            raise _Unknown
        out, weights = made.output[0], node.input[1]
        if _attribute(node, "transB", 0):
            weights = f"{node.output[0]}/weights"
            turn = helper.make_node("Transpose", [node.input[1]], [weights], weights, perm=[1, 0])
            self.done.append(turn)
        product = f"{node.output[0]}/product" if bias else out
        source = self._read(node.input[0])
        self.done.append(helper.make_node("MatMul", [source, weights], [product], node.name))
        self.done[-1].metadata_props.extend(node.metadata_props)
        if bias:
            name = f"{node.name}/bias"
            self.done.append(helper.make_node("Add", [product, bias], [out], name))

    def _along_axis(self, made: NodeProto, node: NodeProto) -> None:
        """One axis is named by an attribute."""
        some = [name for name in node.input if not self._known(name)]
        if node.op_type == "Concat" and len(some) < len(node.input):
            raise _Unknown  # a constant part has no frames
        self._inputs(made, node)
        default = -1 if node.op_type in _LAST else 0
        if node.op_type in ("Softmax", "LogSoftmax") and self._opset < 13:
            default = 1
        shift(made, "axis", default)
        self.done.append(made)

    def _over_axes(self, made: NodeProto, node: NodeProto) -> None:
        """Axes are named by an attribute or an input."""
        index = 3 if node.op_type == "Slice" else 1
        axes = self._axes(node, index)
        if axes is None:
            raise _Unknown
        axes = [a + (a >= 0) for a in axes]
        self._inputs(made, node)
        if len(node.input) > index:
            made.input[index] = self._constant(f"{node.output[0]}/axes", axes)
        else:
            _set(made, "axes", axes)
        self.done.append(made)

    # parts ---------------------------------------------------------------------------------------

    def _inputs(self, made: NodeProto, node: NodeProto) -> None:
        """Let ``made`` read the stacked frames of ``node``'s computed inputs, each with as many
        axes as the one that has most."""
        some = [name for name in node.input if name and not self._known(name)]
        rank = max(len(self._shape(name)) for name in some)
        if any(len(self._shape(n)) > rank for n in node.input if n and self._known(n)):
            raise _Unknown
        for index, name in enumerate(node.input):
            if name in some:
                made.input[index] = self._read(name, rank)

    def _read(self, name: str, rank: int = 0) -> str:
        """The stacked frames of ``name``, of at least ``rank`` axes beside the batch."""
        shape = self._shape(name)
        if name not in self.stacked:
            self.stacked[name] = self._reshape(name, f"{name}/stacked", (1, *shape))
        if len(shape) >= rank:
            return self.stacked[name]
        wide = (1,) * (rank + 1 - len(shape)) + shape
        return self._reshape(self.stacked[name], f"{name}/stacked{rank}", wide)

    def _reshape(self, source: str, out: str, shape: Shape) -> str:
        if all(out not in node.output for node in self.done):
            target = self._constant(f"{out}/shape", list(shape))
            self.done.append(helper.make_node("Reshape", [source, target], [out], out))
        return out

    def _constant(self, name: str, values: list[int]) -> str:
        self.made[name] = np.array(values, dtype=np.int64)
        return name

    def _known(self, name: str) -> bool:
        """Whether ``name`` does not depend on the network input."""
        return name not in self._plain and name not in self.stacked

    def _axes(self, node: NodeProto, index: int) -> list[int] | None:
        """The axes that an attribute or the constant input ``index`` names."""
        given = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
        if given is None and len(node.input) > index and node.input[index] in self._constants:
            array = numpy_helper.to_array(self._constants[node.input[index]])
            given = [int(a) for a in array.ravel()]
        return given

    def _shape(self, name: str) -> Shape:
        """The shape of ``name`` for a batch of one."""
        if self._shapes is None:
            self._shapes = _inferred(self._model)
        if name not in self._shapes:
            raise _Unknown
        return self._shapes[name]


def _inferred(model: ModelProto) -> dict[str, Shape]:
    """The shapes that onnx can infer, quantizers being functions of each element."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.op_type in QUANT_OPS:
            node.op_type, node.domain = "Identity", ""
            del node.input[1:], node.attribute[:]
    try:
        found = shape_inference.infer_shapes(copy, data_prop=True)
    except Exception:  # a malformed node: its handler says so
        return {}
    shapes = {t.name: tuple(t.dims) for t in found.graph.initializer}
    for port in (*found.graph.value_info, *found.graph.input, *found.graph.output):
        dims = port.type.tensor_type.shape.dim
        fixed = all(d.WhichOneof("value") == "dim_value" for d in dims)
        if fixed and port.type.tensor_type.HasField("shape"):
            shapes[port.name] = tuple(d.dim_value for d in dims)
    return shapes


def _attribute(node: NodeProto, name: str, default: float) -> object:
    found = [helper.get_attribute_value(a) for a in node.attribute if a.name == name]
    return found[0] if found else default


def _set(node: NodeProto, name: str, values: list[int]) -> None:
    kept = [type(a).FromString(a.SerializeToString()) for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, values)])
