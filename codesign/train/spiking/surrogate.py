"""What stands for the derivative of a spike: each is a function of ``u``, the distance from the
threshold in thresholds, and has its maximum 1 at ``u = 0``. They leave ``u`` as it is, and are
not derived themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codesign.errors import UsageError
from codesign.train.needs import need

torch = need("torch")

Surrogate = Callable[[Any, float], Any]


def fast_sigmoid(u: Any, slope: float) -> Any:
    """``1 / (slope |u| + 1)**2`` (Zenke and Ganguli 2018)."""
    return u.abs().mul_(slope).add_(1).reciprocal_().square_()


def arctan(u: Any, slope: float) -> Any:
    """``1 / (1 + (slope u)**2)`` (Fang et al. 2021)."""
    return (slope * u).square_().add_(1).reciprocal_()


def triangle(u: Any, slope: float) -> Any:
    """``max(0, 1 - slope |u|)`` (Bellec et al. 2018)."""
    return u.abs().mul_(-slope).add_(1).clamp_min_(0)


def rectangle(u: Any, slope: float) -> Any:
    """1 within ``1 / (2 slope)`` of the threshold (Wu et al. 2018)."""
    return (u.abs() * (2 * slope) < 1).to(u.dtype)


SURROGATES: dict[str, Surrogate] = {
    "fast_sigmoid": fast_sigmoid,
    "arctan": arctan,
    "triangle": triangle,
    "rectangle": rectangle,
}


def surrogate(name: str) -> Surrogate:
    """The one called ``name``; ``UsageError`` lists them."""
    if name not in SURROGATES:
        raise UsageError(
            f"unknown surrogate gradient '{name}'", hint=f"known: {', '.join(sorted(SURROGATES))}"
        )
    return SURROGATES[name]


def fires(v: Any, theta: Any, ge: bool) -> Any:
    """``[v > theta]`` or ``[v >= theta]`` as 0.0 and 1.0."""
    return (v >= theta if ge else v > theta).to(v.dtype)


class Fires(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """:func:`fires` with a surrogate derivative."""

    @staticmethod
    def forward(ctx: Any, v: Any, theta: Any, ge: bool, shape: Surrogate, slope: float) -> Any:
        ctx.save_for_backward(v, theta)
        ctx.shape, ctx.slope = shape, slope
        return fires(v, theta, ge)

    @staticmethod
    def backward(ctx: Any, given: Any) -> Any:
        v, theta = ctx.saved_tensors
        unit = theta.abs().clamp_min(1)
        slope = given * ctx.shape((v - theta) / unit, ctx.slope) / unit
        to_theta = (-slope).sum_to_size(theta.shape) if ctx.needs_input_grad[1] else None
        return slope, to_theta, None, None, None
