"""Layer normalisation as exporters before opset 17 write it: seven nodes read as one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper


def nodes_to_import(model: ModelProto) -> list[NodeProto]:
    """The model's nodes; ``(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)`` is one
    LayerNormalization without gain and bias. The model itself stays as it is, for qonnx."""
    nodes = list(model.graph.node)
    found = _Finder(nodes, model)
    gone: set[str] = set()
    made: dict[str, NodeProto] = {}
    for node in nodes:
        whole = node.op_type == "Div" and len(node.input) == 2
        match = found.match(node) if whole else None
        if match is not None:
            made[node.output[0]] = match.node
            gone |= match.inner
    return [made.get(n.output[0], n) for n in nodes if n.output and n.output[0] not in gone]


#: Operators of the pattern and the inputs they need.
_INPUTS = {"Add": 2, "Mul": 2, "Pow": 2, "ReduceMean": 1, "Sqrt": 1, "Sub": 2}


@dataclass
class _Match:
    """The node that stands for the pattern, and the tensors inside it."""

    node: NodeProto
    inner: set[str] = field(default_factory=set)


class _Finder:
    """Looks at producers, readers and constants of one graph."""

    def __init__(self, nodes: list[NodeProto], model: ModelProto) -> None:
        self._makers = {o: n for n in nodes for o in n.output}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._leaves = {o.name for o in model.graph.output}
        self._constants = {t.name: t for t in model.graph.initializer}
        for node in nodes:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    self._constants[node.output[0]] = attribute.t

    def match(self, div: NodeProto) -> _Match | None:
        """The pattern that ends at ``div``."""
        sub, root = (self._made(name) for name in div.input)
        if sub is None or root is None or (sub.op_type, root.op_type) != ("Sub", "Sqrt"):
            return None
        add = self._made(root.input[0], "Add")
        variance, epsilon = self._with_constant(add)
        square = self._made(variance.input[0]) if variance is not None else None
        if square is None or variance is None or epsilon is None:
            return None
        if not self._squares(square, sub):
            return None
        mean = self._made(sub.input[1], "ReduceMean")
        if mean is None or mean.input[0] != sub.input[0]:
            return None
        axes = {self._axis(mean), self._axis(variance)}
        if len(axes) != 1 or None in axes:
            return None
        parts = (mean, sub, self._made(square.input[0]), square, variance, add, root)
        inside = [p for p in parts if p is not None]
        inner = {p.output[0] for p in inside}
        if any(self._leaks(name, [*inside, div]) for name in inner):
            return None
        (axis,) = axes
        node = helper.make_node("LayerNormalization", [sub.input[0]], list(div.output), div.name,
                                axis=axis, epsilon=epsilon)  # fmt: skip
        return _Match(node, inner)

    def _made(self, name: str, op_type: str = "") -> NodeProto | None:
        node = self._makers.get(name)
        if node is None or node.domain or op_type not in ("", node.op_type):
            return None
        return node if len(node.input) >= _INPUTS.get(node.op_type, 9) else None

    def _with_constant(self, add: NodeProto | None) -> tuple[NodeProto | None, float | None]:
        """The ReduceMean and the number that ``add`` adds."""
        for place in (0, 1) if add is not None and len(add.input) == 2 else ():
            assert add is not None
            value = self._number(add.input[1 - place])
            mean = self._made(add.input[place], "ReduceMean")
            if value is not None and mean is not None:
                return mean, value
        return None, None

    def _squares(self, square: NodeProto, sub: NodeProto) -> bool:
        """Whether ``square`` is the square of ``sub``'s result, or of that of a twin of it."""
        if square.op_type == "Pow":
            if self._number(square.input[1]) != 2:
                return False
        elif square.op_type != "Mul" or square.input[0] != square.input[1]:
            return False
        base = self._made(square.input[0], "Sub")
        return base is not None and list(base.input) == list(sub.input)

    def _axis(self, mean: NodeProto) -> int | None:
        """The one axis it reduces and keeps."""
        given = {a.name: helper.get_attribute_value(a) for a in mean.attribute}
        axes: list[int] | None = given.get("axes")
        if len(mean.input) > 1 and mean.input[1] in self._constants:
            axes = self._array(mean.input[1]).reshape(-1).tolist()
        if axes is None or len(axes) != 1 or given.get("keepdims", 1) != 1:
            return None
        return int(axes[0])

    def _array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self._constants[name])

    def _number(self, name: str) -> float | None:
        if name not in self._constants or self._array(name).size != 1:
            return None
        return float(self._array(name).reshape(-1)[0])

    def _leaks(self, name: str, inside: list[NodeProto]) -> bool:
        """Whether something outside the pattern reads ``name``."""
        known = {n.output[0] for n in inside}
        readers = self._readers.get(name, [])
        return name in self._leaves or any(r.output[0] not in known for r in readers)
