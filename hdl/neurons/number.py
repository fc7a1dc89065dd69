"""Integers on wires: exact range, stage and arrival time of each."""

from dataclasses import dataclass

from amaranth.hdl import Const, Value

from codesign.hdl.stream import range_shape

#: Stage of what is known in every stage.
ALWAYS = -1


@dataclass(frozen=True, eq=False)
class Num:
    """An integer in ``lo..hi`` in stage ``stage``; its lowest bit settles ``early`` nanoseconds
    after the clock edge, its highest ``late``. A ``parameter`` can be had in any stage from 1."""

    value: Value
    lo: int
    hi: int
    stage: int = ALWAYS
    early: float = 0.0
    late: float = 0.0
    parameter: str = ""

    @property
    def constant(self) -> bool:
        """Whether it is the same integer always."""
        return self.lo == self.hi

    @property
    def bits(self) -> int:
        """Width."""
        return range_shape(self.lo, self.hi).width


def constant(value: int) -> Num:
    """A number that never changes."""
    value = int(value)
    return Num(Const(value, range_shape(min(value, 0), max(value, 0))), value, value)
