"""Combine: two values met element by element in float32, as the model computes it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real, ScaledInt
from codesign.ir import Op, register
from codesign.ops.join import Join

if TYPE_CHECKING:
    from codesign.ir import Value

#: What two float32 arrays of one shape can become, each with one rounding.
FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "min": np.minimum,
    "max": np.maximum,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "equal": np.equal,
}
#: What depends on the difference of the two; the comparisons yield 1.0 or 0.0.
DIFFERENCES = frozenset({"sub", "greater", "greater_equal", "less", "less_equal", "equal"})


@register("combine")
@dataclass(frozen=True, eq=False)
class Combine(Op):
    """``function(a, b)`` of two decoded values of the same shape: float32, one rounding.

    ``function``: a key of :data:`FUNCTIONS`. A smaller operand is expanded first (a
    :class:`~codesign.ops.rearrange.Rearrange`). Where float32 rounds for no pair of codes
    (:func:`exact_join`) the result is codes again, otherwise float32. The pass ``lower_combine``
    makes it a circuit.
    """

    function: str

    @property
    def words(self) -> str:
        return f"{self.function.replace('_', ' ')} of two values"

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS:
            raise ValueError(f"unknown function {self.function!r}; known: {sorted(FUNCTIONS)}")

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        left, right = ins
        if left.shape != right.shape:
            raise UnsupportedModel(
                f"'{self.function}' meets shapes {left.shape} and {right.shape}",
                hint="expand one of them first",
            )
        join = _join_of(self.function, left, right)
        return (left.shape, Real()) if join is None else join.infer(left, right)

    def evaluate(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """float32 of broadcastable float32 ``a`` and ``b``; NaN where the model has NaN."""
        a, b = np.asarray(a, dtype=np.float32), np.asarray(b, dtype=np.float32)
        with np.errstate(all="ignore"):
            return np.asarray(FUNCTIONS[self.function](a, b), dtype=np.float32)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        join = _join_of(self.function, *ins)
        if join is not None:
            return join.execute(ins, *arrays)
        a, b = (v.format.decode(x) for v, x in zip(ins, arrays, strict=True))
        return self.evaluate(a, b)


#: float32 holds every integer below this, times a power of two in this range of exponents.
MANTISSA = 1 << 24
EXPONENTS = range(-100, 100)


def exact_join(function: str, a: Format, b: Format) -> Join | None:
    """The integer operation that ``function`` in float32 is, or None where it rounds or scales
    differ from channel to channel.

    A value is exact in float32 if it is an integer below 2^24 times a power of two; with scales
    such as 2^-4 or 3 * 2^-6 that holds for codes, their sums and their products.
    """
    if not isinstance(a, ScaledInt) or not isinstance(b, ScaledInt):
        return None
    if function in ("min", "max"):
        same = a.scale == b.scale and a.zero_point == b.zero_point
        return Join(function, 1, 1, a.scale, a.zero_point) if same else None
    if function not in ("add", "sub", "mul") or len(a.scale) != 1 or len(b.scale) != 1:
        return None
    if not (_exact(a) and _exact(b)):
        return None
    join = _product(a, b) if function == "mul" else _sum(a, b, 1 if function == "add" else -1)
    lo, hi = join.range(a, b)
    return join if _exact(ScaledInt(lo, hi, join.scale, join.zero_point)) else None


def _join_of(function: str, left: Value, right: Value) -> Join | None:
    """:func:`exact_join`, but not of a value with itself: that is a function of one integer and
    better tabulated."""
    same = left.name == right.name
    return None if same else exact_join(function, left.format, right.format)


def _product(a: ScaledInt, b: ScaledInt) -> Join:
    return Join("product", a.zero_point, b.zero_point, (a.scale[0] * b.scale[0],))


def _sum(a: ScaledInt, b: ScaledInt, sign: int) -> Join:
    """On the grid of the greatest common divisor of the two scales."""
    left, right = Fraction(a.scale[0]), Fraction(b.scale[0])
    common = left.denominator * right.denominator
    grid = Fraction(math.gcd(int(left * common), int(right * common)), common)
    p, q = int(left / grid), sign * int(right / grid)
    return Join("sum", p, q, (float(grid),), p * a.zero_point + q * b.zero_point)


def _exact(format: ScaledInt) -> bool:
    """Whether float32 holds ``scale * (code - zero_point)`` for every code."""
    scale = Fraction(format.scale[0])
    reach = max(abs(format.lo - format.zero_point), abs(format.hi - format.zero_point))
    odd, exponent = scale.numerator, 1 - scale.denominator.bit_length()
    while odd % 2 == 0:
        odd, exponent = odd // 2, exponent + 1
    return exponent in EXPONENTS and reach * odd < MANTISSA
