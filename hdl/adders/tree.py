"""Balanced adder trees with explicit widths, pipelined in step with their surroundings."""

from collections.abc import Iterable

import numpy as np
from amaranth.hdl import Module, Signal, Value

from codesign.hdl.stream import range_shape


class Term:
    """A value and its exact range: ``lo``, ``hi`` int64 arrays, one entry per weight fold."""

    def __init__(self, value: Value, lo: np.ndarray, hi: np.ndarray) -> None:
        self.value, self.lo, self.hi = value, lo, hi

    @property
    def range(self) -> tuple[int, int]:
        """Least and greatest value over all folds."""
        return int(self.lo.min()), int(self.hi.max())

    def named(self, m: Module, name: str) -> "Term":
        """The same term on a wire of its own, exactly wide enough."""
        wire = Signal(range_shape(*self.range), name=name)
        m.d.comb += wire.eq(self.value)
        return Term(wire, self.lo, self.hi)

    def shifted(self, amount: int) -> "Term":
        """``2**amount`` times the term."""
        if amount == 0:
            return self
        return Term(self.value << amount, self.lo << amount, self.hi << amount)

    def __add__(self, other: "Term") -> "Term":
        return Term(self.value + other.value, self.lo + other.lo, self.hi + other.hi)


class Pipeline:
    """Puts a register after each step named in ``cuts``; all advance together on ``ce``."""

    def __init__(self, m: Module, ce: Value, cuts: Iterable[str]) -> None:
        self._m, self._ce, self._cuts = m, ce, frozenset(cuts)

    def carry(self, value: Value, step: str, name: str, init: int | None = None) -> Value:
        """``value``, registered if the pipeline is cut after ``step``."""
        if step not in self._cuts:
            return value
        held = Signal(value.shape(), name=f"{name}_q", init=init or 0, reset_less=init is None)
        with self._m.If(self._ce):
            self._m.d.sync += held.eq(value)
        return held

    def keep(self, term: Term, step: str) -> Term:
        """:meth:`carry` for a term."""
        name = getattr(term.value, "name", "term")
        return Term(self.carry(term.value, step, name), term.lo, term.hi)


def levels(count: int) -> int:
    """Levels of a binary tree over ``count`` terms."""
    return (count - 1).bit_length()


def reduce_terms(m: Module, pipe: Pipeline, terms: list[Term], name: str, step: str) -> Term:
    """Sum of ``terms``; level ``l`` is pipeline step ``{step}{l}``."""
    for level in range(levels(len(terms))):
        sums = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)]
        rest = terms[len(sums) * 2 :]
        named = [t.named(m, f"{name}{level}_{j}") for j, t in enumerate(sums)]
        rest = [t.named(m, f"{name}{level}_rest{j}") for j, t in enumerate(rest)]
        terms = [pipe.keep(t, f"{step}{level}") for t in named + rest]
    return terms[0]
