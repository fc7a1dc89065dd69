"""Operations that multiply by weights: what the planner of foldings asks of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from codesign.ops.circuit import CircuitOp, divisors

if TYPE_CHECKING:
    import numpy as np

    from codesign.ir import Value
    from codesign.ir.plan import Plan
    from codesign.ops.weight_range import LoadableWeights


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

    @abstractmethod
    def folds(self, plan: Plan) -> tuple[int, int]:
        """(row folds, column folds): their product is the cycles of one vector."""

    @abstractmethod
    def vectors(self, x: Value) -> int:
        """Vectors of a frame that the weights are applied to."""

    def may_pad(self, x: Value) -> bool:
        """Whether PE and SIMD need not divide the weights."""
        return False

    def foldings(self) -> list[tuple[int, int]]:
        """Every legal (pe, simd) that divides the weights, ascending."""
        n, k = self.matrix
        return [(pe, simd) for pe in divisors(n) for simd in divisors(k)]

    @abstractmethod
    def pixel_options(self, x: Value, steps: int = 1) -> list[int]:
        """Numbers of vectors that can be computed side by side, of one of ``steps`` of a loop."""

    def window_bits(self, x: Value, plan: Plan) -> int:
        """Bits in registers and FIFO of a window that shows all taps at once."""
        return 0
