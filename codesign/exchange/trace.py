"""Integer arithmetic written for numpy, recorded as ONNX operators.

A :class:`Trace` stands for an int64 array (or a truth value) in a function body. A neuron model
that computes on traces instead of arrays leaves its step behind as a graph: there is no second
description of it that could differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from codesign.exchange.body import Body


class Trace(np.lib.mixins.NDArrayOperatorsMixin):
    """One tensor of ``body``; ``flag``: whether it holds truth values.

    It passes for an array of one element: what is true of it holds for every element.
    """

    shape, ndim, size = (1,), 1, 1

    def __init__(self, body: Body, name: str, flag: bool = False) -> None:
        self.body, self.name, self.flag = body, name, flag

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(bool if self.flag else np.int64)

    def __len__(self) -> int:
        return 1

    def any(self) -> bool:
        """Models ask this only to raise an error; the graph's way of that is :meth:`Body.refuse`,
        applied to what it puts out."""
        self.body.refused.append(self.name if self.flag else (self != 0).name)
        return False

    def astype(self, dtype: object) -> Trace:
        if np.dtype(dtype) == self.dtype:  # type: ignore[call-overload]
            return self
        if np.dtype(dtype).kind == "b":  # type: ignore[call-overload]
            return self != 0
        return Trace(self.body, self.number())

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *ins: Any, **kwargs: Any) -> Any:
        rule = _UFUNCS.get(ufunc.__name__)
        if method != "__call__" or rule is None or set(kwargs) - {"out"}:
            raise NotImplementedError(f"numpy.{ufunc.__name__} has no form in ONNX here")
        return rule(self.body, *map(known, ins))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = _FUNCTIONS.get(function.__name__)
        if rule is None:
            raise NotImplementedError(f"numpy.{function.__name__} has no form in ONNX here")
        return rule(self.body, *map(known, args), **kwargs)

    def number(self) -> str:
        """The name of its integers, 0 and 1 for a truth value."""
        return self.body.number(self.name) if self.flag else self.name


class TableTrace:
    """A table of ``entries`` codes that traces read from."""

    def __init__(self, table: Trace, entries: int) -> None:
        self.table, self.entries = table, entries

    def __len__(self) -> int:
        return self.entries

    def __getitem__(self, at: Trace) -> Trace:
        body = self.table.body
        return Trace(body, body.op("Gather", self.table.name, at.number()))


#: A trace, or the integer that all elements are.
Operand = Trace | int


def known(value: Any) -> Any:
    """An array of equal elements as the number they are."""
    if isinstance(value, Trace) or value is None:
        return value
    array = np.asarray(value)
    if array.size and array.dtype.kind in "iub" and (array == array.flat[0]).all():
        return int(array.flat[0])
    return array


def _term(x: Operand) -> str | int:
    return x.number() if isinstance(x, Trace) else int(x)


def _is(x: Operand, value: int) -> bool:
    return not isinstance(x, Trace) and x == value


def _plain(op_type: str, flag: bool = False) -> Callable[..., Trace]:
    def rule(body: Body, *ins: Operand) -> Trace:
        return Trace(body, body.op(op_type, *map(_term, ins)), flag)

    return rule


def _add(body: Body, a: Operand, b: Operand) -> Operand:
    if _is(a, 0) or _is(b, 0):
        return _as_number(b if _is(a, 0) else a)
    return Trace(body, body.op("Add", _term(a), _term(b)))


def _subtract(body: Body, a: Operand, b: Operand) -> Operand:
    return _as_number(a) if _is(b, 0) else Trace(body, body.op("Sub", _term(a), _term(b)))


def _multiply(body: Body, a: Operand, b: Operand) -> Operand:
    if _is(a, 0) or _is(b, 0):
        return 0
    if _is(a, 1) or _is(b, 1):
        return _as_number(b if _is(a, 1) else a)
    return Trace(body, body.op("Mul", _term(a), _term(b)))


def _as_number(x: Operand) -> Operand:
    return Trace(x.body, x.number()) if isinstance(x, Trace) else x


def _right(body: Body, x: Operand, bits: Operand) -> Operand:
    """``x >> bits``: division by a power of two, rounded down."""
    if _is(bits, 0):
        return x
    by = 1 << bits if isinstance(bits, int) else body.power(bits.name)
    return Trace(body, body.floor_div(_term(x), by))


def _left(body: Body, x: Operand, bits: Operand) -> Operand:
    by = 1 << bits if isinstance(bits, int) else Trace(body, body.power(bits.name))
    return _multiply(body, x, by)


def _and(body: Body, a: Operand, b: Operand) -> Operand:
    """Of truth values; or the low bits of a number."""
    if _flags(a, b):
        return _logic(body, "And", a, b)
    number, mask = (b, a) if isinstance(a, int) else (a, b)
    if not isinstance(mask, int) or mask & (mask + 1):
        raise NotImplementedError("only low bits can be masked out in ONNX here")
    return Trace(body, body.op("Mod", _term(number), mask + 1))


def _or(body: Body, a: Operand, b: Operand) -> Operand:
    if not _flags(a, b):
        raise NotImplementedError("bits cannot be joined in ONNX here")
    return _logic(body, "Or", a, b)


def _flags(a: Operand, b: Operand) -> bool:
    return all(x.flag if isinstance(x, Trace) else x in (0, 1) for x in (a, b)) and any(
        isinstance(x, Trace) and x.flag for x in (a, b)
    )


def _logic(body: Body, op_type: str, a: Operand, b: Operand) -> Operand:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, int):
            decided = one == (op_type == "Or")
            return one if decided else other
    return Trace(body, body.op(op_type, _name(a), _name(b)), True)


def _name(x: Operand) -> str:
    assert isinstance(x, Trace)
    return x.name


def _not(body: Body, x: Operand) -> Trace:
    assert isinstance(x, Trace) and x.flag
    return Trace(body, body.op("Not", x.name), True)


def _not_equal(body: Body, a: Operand, b: Operand) -> Trace:
    return Trace(body, body.op("Not", body.op("Equal", _term(a), _term(b))), True)


def _where(body: Body, flag: Operand, yes: Operand, no: Operand) -> Operand:
    if not isinstance(flag, Trace):
        return yes if flag else no
    if not flag.flag:
        flag = _not_equal(body, flag, 0)
    return Trace(body, body.op("Where", flag.name, _term(yes), _term(no)))


def _maximum(body: Body, a: Operand, b: Operand) -> Trace:
    larger = body.op("Greater", _term(a), _term(b))
    return Trace(body, body.op("Where", larger, _term(a), _term(b)))


def _minimum(body: Body, a: Operand, b: Operand) -> Trace:
    smaller = body.op("Less", _term(a), _term(b))
    return Trace(body, body.op("Where", smaller, _term(a), _term(b)))


def _clip(body: Body, x: Operand, lo: Operand, hi: Operand) -> Trace:
    return _minimum(body, _maximum(body, x, lo), hi)


def _sign(body: Body, x: Operand) -> Trace:
    above, below = (body.number(body.op(op, _term(x), 0)) for op in ("Greater", "Less"))
    return Trace(body, body.op("Sub", above, below))


def _zeros_like(body: Body, x: Operand) -> np.ndarray:
    return np.zeros(1, np.int64)


def _ones_like(body: Body, x: Operand) -> np.ndarray:
    return np.ones(1, np.int64)


_UFUNCS: dict[str, Callable[..., Any]] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "negative": _plain("Neg"),
    "absolute": _plain("Abs"),
    "sign": _sign,
    "maximum": _maximum,
    "minimum": _minimum,
    "right_shift": _right,
    "left_shift": _left,
    "bitwise_and": _and,
    "logical_and": _and,
    "bitwise_or": _or,
    "logical_or": _or,
    "invert": _not,
    "logical_not": _not,
    "equal": _plain("Equal", True),
    "not_equal": _not_equal,
    "greater": _plain("Greater", True),
    "greater_equal": _plain("GreaterOrEqual", True),
    "less": _plain("Less", True),
    "less_equal": _plain("LessOrEqual", True),
    "clip": _clip,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "where": _where,
    "clip": _clip,
    "zeros_like": _zeros_like,
    "ones_like": _ones_like,
}
