"""NIR's neurons in steps of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.nir.policy import NirPolicy, sample
from codesign.frontend.spiking import Holder, Neurons
from codesign.frontend.spiking.layers import Shape, per_channel
from codesign.frontend.spiking.lif import Parts, spikes_word
from codesign.neurons import Leak, Lif, Neuron, Synapse
from codesign.neurons.limits import check_leaks, check_threshold

FIRES = ("CubaLIF", "IF", "LIF", "Threshold")


@dataclass(frozen=True, eq=False)
class Stepped:
    """A neuron in steps: float64 [1] or [channels] each.

    ``v = decay v + gain * input + bias`` (through a current ``i = alpha i + input`` where there
    is an alpha). ``theta``, ``v_reset``: None where it does not fire.
    """

    decay: np.ndarray
    gain: np.ndarray
    bias: np.ndarray
    alpha: np.ndarray | None
    theta: np.ndarray | None
    v_reset: np.ndarray


def stepped(name: str, node: Any, shape: Shape, policy: NirPolicy) -> Stepped:
    """``node`` (one of :data:`loops.NEURONS`) for neurons of ``shape``."""
    where = f"node '{printable(name)}' ({type(node).__name__})"
    zero = np.zeros(1)

    def get(field: str) -> np.ndarray:
        return per_channel(np.asarray(getattr(node, field), np.float64), shape, where)

    kind = type(node).__name__
    if kind == "Threshold":
        return Stepped(zero, np.ones(1), zero, None, get("threshold"), zero)
    fires = kind in FIRES
    theta, v_reset = (get("v_threshold"), get("v_reset")) if fires else (None, zero)
    if kind in ("I", "IF"):
        gain = get("r") * (policy.time.dt if policy.integrators == "per_second" else 1.0)
        return Stepped(np.ones(1), gain, zero, None, theta, v_reset)
    cuba = kind.startswith("Cuba")
    decay, charge = _discrete(get("tau_mem" if cuba else "tau"), policy, where)
    gain, alpha = get("r") * charge, None
    if cuba:
        alpha, current = _discrete(get("tau_syn"), policy, where)
        # the current is kept in the membrane's units, so that no multiplier stands between
        gain = gain * (get("w_in") * current)
    return Stepped(decay, gain, get("v_leak") * charge, alpha, theta, v_reset)


def _discrete(tau: np.ndarray, policy: NirPolicy, where: str) -> tuple[np.ndarray, np.ndarray]:
    """What is left after a step, and what of a constant input arrives in it."""
    if not (tau > 0).all():
        what = f"a time constant of {tau[~(tau > 0)][0]:.9g}"
        raise UnsupportedModel(what, where=where, hint="give a positive one, in seconds")
    ratio = policy.time.dt / tau
    if policy.discretisation == "exact":
        return np.exp(-ratio), -np.expm1(-ratio)
    if (ratio > 1).any():
        raise UnsupportedModel(
            f"dt is {ratio.max():.3g} times its time constant: Euler's step overshoots",
            where=where,
            hint="take a smaller time.dt, or discretisation = 'exact'",
        )
    return 1 - ratio, ratio


def neurons(name: str, node: Any, at: Stepped, policy: NirPolicy) -> Neurons:
    """The layer of ``at``, whose input has its gain already."""
    where = f"node '{printable(name)}' ({type(node).__name__})"
    choices = sample(policy.preset, at.alpha is not None)
    fires = at.theta is not None
    chip = fires and type(node).__name__ != "Threshold"  # NIR alone says what that one does

    def make(input_frac: int, holder: Holder) -> Neuron:
        parts = Parts(policy.formats, holder, where)
        synapse = None
        if at.alpha is not None and choices.synapse is not None:
            synapse = Synapse(
                *parts.synapse(at.alpha), choices.synapse.order, choices.synapse.reset
            )
        theta = parts.codes(
            at.theta if at.theta is not None else np.zeros(1), "threshold", wide=True
        )
        if chip:
            check_threshold(policy.preset, theta, parts.word(), _reset(at, policy))
        model = Lif(
            parts.word(),
            _leak(parts, at, policy.preset),
            theta,
            compare=choices.compare if type(node).__name__ != "Threshold" else "gt",
            reset=_reset(at, policy),
            reset_timing=choices.reset_timing,
            reset_vs_leak=choices.reset_vs_leak,
            reset_vs_input=choices.reset_vs_input,
            input_frac=input_frac,
            rounding=policy.formats.rounding,
            spike_levels=choices.spike_levels if fires else 1,
            refractory=0,
            refractory_mode="silent",
            output="spikes" if fires else "membrane",
            synapse=synapse,
            bias=parts.codes(at.bias, "leak potential's share"),
            reset_value=parts.codes(at.v_reset, "reset potential"),
        )
        if chip:
            check_leaks(policy.preset, model)
        both = policy.preset == "snntorch_no_delay" and model.reset == "subtract"
        return replace(model, reset_timing="both") if both else model

    levels = choices.spike_levels if fires else 1
    word = spikes_word(levels) if fires else Parts(policy.formats, Holder(True), where).word()
    return Neurons(name, _explained(make, where), word, levels if fires else word.hi)


def _explained(make: Any, where: str) -> Any:
    """``make`` with the model's own objections as errors about the node."""

    def explained(input_frac: int, holder: Holder) -> Neuron:
        try:
            return make(input_frac, holder)
        except ValueError as reason:
            hint = "change the parameter, or the policy: another preset, other formats"
            raise UnsupportedModel(str(reason), where=where, hint=hint) from None

    return explained


def _leak(parts: Parts, at: Stepped, preset: str) -> Leak:
    if not at.decay.any():  # a threshold without memory
        return Leak("mul_floor", np.zeros(1, np.int64), 1)
    if preset == "tinyodin" and (at.decay != 1).any():
        raise ValueError("preset 'tinyodin' leaks linearly, NIR's leaks are exponential")
    return parts.leak(at.decay)


def _reset(at: Stepped, policy: NirPolicy) -> str:
    if at.theta is None or not at.decay.any():
        return "none"
    if policy.reset != "value":
        return policy.reset
    if at.v_reset.any() and policy.preset in ("loihi", "hls4ml", "tinyodin"):
        raise ValueError(f"preset '{policy.preset}' resets to 0, v_reset is not 0")
    return "value" if at.v_reset.any() else "zero"
