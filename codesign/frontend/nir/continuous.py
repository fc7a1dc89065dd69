"""Neuron models as NIR's equations in continuous time."""

from __future__ import annotations

from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.neurons import Leak, Lif, Neuron
from codesign.neurons.leak import PRODUCTS


def node_of(model: Neuron, dt: float, shape: tuple[int, ...], where: str) -> Any:
    """The NIR node whose Euler steps of ``dt`` are ``model``'s, but for rounding.

    Raises :class:`UnsupportedModel` for what the format has no primitive for.
    """
    import nir

    if not isinstance(model, Lif):
        what = f"a neuron model {type(model).__name__}"
        raise UnsupportedModel(what, where=where, hint="NIR has the LIF family")
    if model.adaptation is not None:
        raise UnsupportedModel("a threshold that adapts", where=where, hint="NIR has none")

    def full(values: np.ndarray | float) -> np.ndarray:
        column = np.reshape(np.asarray(values, np.float64), (-1, *[1] * (len(shape) - 1)))
        return np.broadcast_to(column, shape).copy()

    unit = 2.0**-model.word.frac
    theta, fires = model.theta * unit, model.output == "spikes"
    v_reset = model.reset_value * unit if model.reset == "value" else np.zeros(1)
    bias = model.bias * unit
    rest: dict[str, Any] = {}
    if fires:
        rest = {"v_threshold": full(theta), "v_reset": full(v_reset)}
    if model.synapse is None and model.leak.kind == "none":
        if model.bias.any():
            raise UnsupportedModel(
                "an integrator with a bias", where=where, hint="move it into the weights before"
            )
        r = full(_exactly(lambda r: r * dt, np.ones(1), 1 / dt))
        return nir.IF(r=r, **rest) if fires else nir.I(r=r)
    decay = _decay(model.leak, where)
    if not decay.any() and fires and not model.bias.any() and model.synapse is None:
        return nir.Threshold(full(theta))
    tau, r, v_leak = _membrane(decay, bias, dt, where)
    if model.synapse is None:
        made = {"tau": full(tau), "r": full(r), "v_leak": full(v_leak), **rest}
        return nir.LIF(**made) if fires else nir.LI(**made)
    syn, gain = _inverse(_decay(model.synapse.leak, where), dt, where)
    made = {"tau_mem": full(tau), "tau_syn": full(syn), "r": full(r), "w_in": full(gain)}
    made |= {"v_leak": full(v_leak), **rest}
    return nir.CubaLIF(**made) if fires else nir.CubaLI(**made)


def _membrane(
    decay: np.ndarray, bias: np.ndarray, dt: float, where: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tau, r = _inverse(decay, dt, where)
    charge = dt / tau
    return tau, r, _exactly(lambda v: v * charge, bias, bias / charge)


def _inverse(decay: np.ndarray, dt: float, where: str) -> tuple[np.ndarray, np.ndarray]:
    """``tau`` and ``R`` with ``1 - dt / tau == decay`` and ``R (dt / tau) == 1``, in float64."""
    if (decay >= 1).any():
        hint = "give neurons without leak a layer of their own"
        raise UnsupportedModel("a leak in some channels only", where=where, hint=hint)
    tau = _exactly(lambda tau: 1 - dt / tau, decay, dt / (1 - decay))
    charge = dt / tau
    return tau, _exactly(lambda r: r * charge, np.ones(1), 1 / charge)


def _exactly(function: Any, wanted: np.ndarray, guess: np.ndarray | float) -> np.ndarray:
    """The float64 near ``guess`` where ``function`` is ``wanted`` to the last bit, if there is
    one: import then finds the same codes."""
    guess = np.broadcast_to(
        np.asarray(guess, np.float64), np.broadcast_shapes(np.shape(guess), np.shape(wanted))
    )
    best, near = guess.copy(), guess
    for direction in (np.inf, -np.inf):
        near = guess
        for _ in range(8):
            hit = (function(near) == wanted) & (function(best) != wanted)
            best = np.where(hit, near, best)
            near = np.nextafter(near, direction)
    return best


def _decay(leak: Leak, where: str) -> np.ndarray:
    """What is left of a state after a step."""
    if leak.kind == "none":
        return np.ones(1)
    if leak.kind in PRODUCTS:
        return np.asarray(leak.amount * 2.0**-leak.frac)
    if leak.kind.startswith("shift"):
        return np.asarray(1 - 2.0 ** -leak.amount.astype(np.float64))
    hint = "NIR's leaks are exponential"
    raise UnsupportedModel("a linear leak", where=where, hint=hint)


def warnings_of(model: Neuron, name: str) -> list[str]:
    """What of ``model`` NIR cannot say, one sentence each."""
    assert isinstance(model, Lif)
    states = ", ".join(
        f"{s.name} {s.word.bits} bits, {s.word.frac} of fraction, {s.word.overflow}"
        for s in model.states
    )
    found = [
        f"'{name}': NIR does not say how states are held ({states}), nor that its leak is "
        f"{model.leak.kind}" + (f" with {model.leak.frac} bits" if model.leak.frac else "")
    ]
    if model.output == "spikes":
        found.append(
            f"'{name}': NIR does not say that it fires on {'>' if model.compare == 'gt' else '>='} "
            f"and resets in the {'next' if model.reset_timing == 'next' else 'same'} step, "
            f"{model.reset_vs_leak} the leak"
        )
        if model.reset in ("subtract", "none"):
            found.append(f"'{name}': NIR resets to v_reset, not by '{model.reset}'")
        if model.spike_levels > 1:
            found.append(f"'{name}': NIR has one spike a step, not up to {model.spike_levels}")
    if model.refractory:
        found.append(f"'{name}': NIR has no refractory period ({model.refractory} steps here)")
    if model.synapse is not None:
        found.append(
            f"'{name}': NIR does not say that the membrane receives the {model.synapse.order} "
            f"current{', which a spike clears' if model.synapse.reset else ''}"
        )
    return found
