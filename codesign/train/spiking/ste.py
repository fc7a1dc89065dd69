"""Integer functions on floating-point tensors that hold integers, with straight-through
derivatives: what rounding and saturation would have been without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.neurons import Word
from codesign.train.needs import need

torch = need("torch")


class _Straight(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, x: Any, kind: str) -> Any:
        return _rounded(x, kind)

    @staticmethod
    def backward(ctx: Any, given: Any) -> Any:
        return given, None


def _rounded(x: Any, kind: str) -> Any:
    if kind == "floor":
        return torch.floor(x)
    return torch.trunc(x) if kind == "trunc0" else torch.round(x)


class _Wrap(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, x: Any, lo: int, bits: int) -> Any:
        return torch.remainder(x - lo, float(1 << bits)) + lo

    @staticmethod
    def backward(ctx: Any, given: Any) -> Any:
        return given, None, None


@dataclass(frozen=True)
class Grid:
    """Weights of ``bits`` bits: codes ``-(2**(bits-1) - 1) ... 2**(bits-1) - 1`` worth
    ``2**-frac``."""

    bits: int
    frac: int

    @property
    def top(self) -> float:
        """One step beyond the largest weight."""
        return 2.0 ** (self.bits - 1 - self.frac)

    def nearest(self, weight: Any) -> Any:
        """The nearest weights, of ties the even code; the derivative is 1. What Brevitas'
        quantizer of a constant scale computes, in a fifth of its time."""
        return _OnGrid.apply(weight, self)


class _OnGrid(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, weight: Any, grid: Grid) -> Any:
        most = 2.0 ** (grid.bits - 1) - 1
        codes = (weight * 2.0**grid.frac).round_().clamp_(-most, most)
        return codes.mul_(2.0**-grid.frac)

    @staticmethod
    def backward(ctx: Any, given: Any) -> Any:
        return given, None


def rounded(x: Any, rounding: str) -> Any:
    """``x`` to an integer: ``floor``, ``trunc0`` or ``half_even``; the derivative is 1."""
    return _Straight.apply(x, rounding) if torch.is_grad_enabled() else _rounded(x, rounding)


def scaled(x: Any, bits: int, rounding: str) -> Any:
    """``x / 2**bits`` rounded, as :func:`codesign.neurons.shift_right`; ``exact`` is the caller's
    promise that nothing is lost."""
    if bits == 0:
        return x
    x = x * 2.0**-bits
    return x if bits < 0 or rounding == "exact" else rounded(x, rounding)


def fit(word: Word, x: Any) -> Any:
    """``x`` as ``word`` holds it. The derivative of a clamp is 0 outside, that of a wrap is 1."""
    if word.overflow == "wrap":
        return _Wrap.apply(x, word.lo, word.bits)
    return x.clamp(word.lo, word.hi)
