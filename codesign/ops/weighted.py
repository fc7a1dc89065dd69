"""Operations that multiply by weights: what the planner of foldings asks of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from codesign.ops.circuit import CircuitOp, divisors

if TYPE_CHECKING:
    import numpy as np

    from codesign.ir import Value
    from codesign.ir.plan import Plan
    from codesign.ops.weight_range import LoadableWeights


@dataclass(frozen=True)
class Folding:
    """``pe`` x ``simd`` multipliers for each of ``pixels`` vectors side by side."""

    pe: int
    simd: int
    pixels: int = 1

    @property
    def multipliers(self) -> int:
        """Multipliers in all."""
        return self.pe * self.simd * self.pixels


class Weighted(CircuitOp):
    """``weights`` int64 [N, ...] applied to every vector (pixel) of a frame, by ``pe`` x ``simd``
    multipliers for each of ``pixels`` vectors side by side, or unrolled."""

    weights: np.ndarray
    bias: np.ndarray
    loadable: LoadableWeights | None

    #: Whether the input stream feeds the multipliers directly, ``simd`` lanes wide.
    direct: ClassVar[bool] = False

    @property
    def matrix(self) -> tuple[int, int]:
        """(N, K): outputs, and weights of each."""
        return len(self.weights), self.weights.size // len(self.weights)

    @property
    def blocks(self) -> np.ndarray:
        """int64 [blocks, n, k]: the weights as matrices that share no input."""
        return self.weights.reshape(1, *self.matrix)

    @abstractmethod
    def folds(self, plan: Plan) -> tuple[int, int]:
        """(row folds, column folds): their product is the cycles of one vector."""

    @abstractmethod
    def vectors(self, x: Value) -> int:
        """Vectors of a frame that the weights are applied to."""

    def may_pad(self, x: Value) -> bool:
        """Whether PE and SIMD need not divide the weights."""
        return False

    def foldings(self, x: Value, steps: int = 1) -> Iterator[Folding]:
        """Every folding that can be built for ``x``, of which a loop gives one of ``steps`` at a
        time. Where vectors may be padded (:meth:`may_pad`) PE and SIMD need not divide: then
        these are only those that do."""
        n, k = self.matrix
        for pe in divisors(n):
            for simd in divisors(k):
                yield from (Folding(pe, simd, p) for p in self.pixel_options(x, steps))

    @abstractmethod
    def pixel_options(self, x: Value, steps: int = 1) -> list[int]:
        """Numbers of vectors that can be computed side by side, of one of ``steps`` of a loop:
        unrolled all of them, folded those that :meth:`foldings` names."""

    def window_bits(self, x: Value, plan: Plan) -> int:
        """Bits in registers and FIFO of a window that shows all taps at once."""
        return 0
