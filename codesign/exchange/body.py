"""Exact integer arithmetic out of standard ONNX operators, on int64.

Of these onnxruntime computes every bit: ``Div`` rounds toward zero, ``Mod`` has the sign of the
divisor. ``Clip``, ``Max``, ``Min`` and ``Sign`` are left out: onnxruntime (1.31.1) gets them wrong
where a number does not fit 32 bits (a bug of Eigen, onnxruntime's pull request 25280); comparisons
and ``Where`` say the same. A graph cannot raise an error, but an index out of bounds does:
:meth:`Body.refuse` reads a table of one entry beyond its end.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

#: A tensor of the body, or a constant.
Term = str | int


class Body:
    """Collects the nodes of one function. ``refused``: truth values that must not occur.
    ``prefix``: of the names of its tensors."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self.nodes: list[NodeProto] = []
        self.refused: list[str] = []
        self._constants: dict[tuple[str, bytes], str] = {}

    def op(self, op_type: str, *inputs: Term, out: str = "", **attributes: object) -> str:
        """One operator with one result. Integers become int64 constants."""
        names = [self.integer(i) if isinstance(i, int) else i for i in inputs]
        made = helper.make_node(op_type, names, [out or f"{self._prefix}t{len(self.nodes)}"])
        made.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self.nodes.append(made)
        return made.output[0]

    def constant(self, array: np.ndarray) -> str:
        """A Constant node, one for each value."""
        key = (f"{array.dtype}{array.shape}", array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.op("Constant", value=numpy_helper.from_array(array))
        return self._constants[key]

    def integer(self, value: int) -> str:
        """An int64 scalar."""
        return self.constant(np.array(value, dtype=np.int64))

    def number(self, flag: str) -> str:
        """0 or 1 of a truth value."""
        return self.op("Cast", flag, to=TensorProto.INT64)

    def power(self, exponent: str) -> str:
        """``2**exponent``, 0 to 30, from a table."""
        powers = self.constant(np.int64(1) << np.arange(31, dtype=np.int64))
        return self.op("Gather", powers, exponent)

    def floor_div(self, x: Term, by: Term) -> str:
        """``x / by`` rounded down; ``by`` is positive."""
        return self.op("Div", self.op("Sub", x, self.op("Mod", x, by)), by)

    def refuse(self, x: str, flag: str) -> str:
        """``x`` itself; running the graph fails wherever ``flag`` is true."""
        table = self.constant(np.zeros(1, np.int64))
        return self.op("Add", x, self.op("Gather", table, self.number(flag)))

    def enter(self, name: str, frac: int, lo: int, hi: int) -> str:
        """Codes of the float32 input ``name``; refused are values that are no codes ``lo..hi``."""
        scaled = self._scaled(name, frac)
        code = self.op("Cast", scaled, to=TensorProto.INT64)
        same = self.op("Equal", self.op("Cast", code, to=TensorProto.FLOAT), scaled)
        outside = self.op("Or", self.op("Less", code, lo), self.op("Greater", code, hi))
        return self.refuse(code, self.op("Or", self.op("Not", same), outside))

    def parameter(self, name: str, frac: int) -> str:
        """Codes of a float32 parameter, which is known to be exact."""
        return self.op("Cast", self._scaled(name, frac), to=TensorProto.INT64)

    def leave(self, code: str, frac: int, out: str) -> None:
        """float32 output ``out`` of codes; running the graph fails where something is refused."""
        for flag in self.refused:
            code = self.refuse(code, flag)
        if frac == 0:
            self.op("Cast", code, to=TensorProto.FLOAT, out=out)
            return
        real = self.op("Cast", code, to=TensorProto.FLOAT)
        self.op("Mul", real, self.constant(np.array(2.0**-frac, np.float32)), out=out)

    def _scaled(self, name: str, frac: int) -> str:
        return (
            self.op("Mul", name, self.constant(np.array(2.0**frac, np.float32))) if frac else name
        )

    def finish(self, outputs: list[str]) -> list[NodeProto]:
        """The nodes that ``outputs`` need, in order."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        return kept[::-1]
