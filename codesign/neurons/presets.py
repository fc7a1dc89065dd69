"""Neurons as chips and frameworks have them, every choice made.

Each function takes integer codes and returns a :class:`Lif`. All but snnTorch's read their weights
as integers, so their states have no fraction bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from codesign.neurons.leak import Leak
from codesign.neurons.lif import Lif, Synapse
from codesign.neurons.limits import THRESHOLDS
from codesign.neurons.word import Word

#: snnTorch's cells of one kind of state; whether reset "zero" keeps the input of its step.
KEEPS_INPUT = {"Leaky": True, "Synaptic": False, "RLeaky": False, "RSynaptic": False}


def snntorch(
    cell: str,
    word: Word,
    leak: Leak,
    theta: np.ndarray,
    *,
    reset: str,
    reset_delay: bool,
    input_frac: int,
    rounding: str,
    synapse: tuple[Word, Leak] | None = None,
) -> Lif:
    """A cell of snnTorch 1.0.0: ``Leaky``, ``Synaptic``, ``RLeaky`` or ``RSynaptic``.

    ``v = beta v + I - theta [v > theta]``, firing on ``>``; the words and the leak say how the
    states are quantized, which snnTorch leaves open. A recurrent cell's own spikes are part of
    its current. ``synapse``: word and leak (alpha) of the synaptic current, for ``Synaptic`` and
    ``RSynaptic``. ``reset``: "subtract", "zero" or "none".

    As ``snntorch/_neurons/*.py`` have it: "zero" keeps the input of the step for ``Leaky`` and
    loses it for the others. ``reset_delay=False`` resets at once; what is left above the
    threshold then first lowers, and after the comparison raises, the membrane of the next step
    ("avoid double reset"). ``RSynaptic`` computes that reset and discards it.

    Raises ``ValueError`` for an unknown cell, or one with a synapse too many or too few, and for
    "zero" without delay and a negative threshold, where snnTorch doubles the membrane.
    """
    if cell not in KEEPS_INPUT:
        raise ValueError(f"cell must be one of {', '.join(KEEPS_INPUT)}, got '{cell}'")
    if reset not in ("subtract", "zero", "none"):
        raise ValueError(f"reset must be subtract, zero or none, got '{reset}'")
    if (synapse is not None) != cell.endswith("Synaptic"):
        raise ValueError(f"{cell} has {'no' if synapse else 'a'} synaptic current")
    delayed = reset_delay or cell == "RSynaptic"
    if not delayed and reset == "zero" and np.min(theta) < 0:
        raise ValueError("reset 'zero' without delay needs a threshold of at least 0")
    return Lif(
        word,
        leak,
        theta,
        compare="gt",
        reset=reset,
        reset_timing="next" if delayed else "both" if reset == "subtract" else "same",
        reset_vs_leak="after",
        reset_vs_input="after" if delayed and not KEEPS_INPUT[cell] else "before",
        input_frac=input_frac,
        rounding=rounding,
        spike_levels=1,
        refractory=0,
        refractory_mode="silent",
        output="spikes",
        synapse=synapse and Synapse(synapse[0], synapse[1], "new", False),
    )


def snntorch_default(
    word: Word, leak: Leak, theta: np.ndarray, *, reset: str, input_frac: int, rounding: str
) -> Lif:
    """``snntorch.Leaky`` as it is by default: the reset comes one step after the spike."""
    return snntorch(
        "Leaky",
        word,
        leak,
        theta,
        reset=reset,
        reset_delay=True,
        input_frac=input_frac,
        rounding=rounding,
    )


def snntorch_no_delay(
    word: Word, leak: Leak, theta: np.ndarray, *, reset: str, input_frac: int, rounding: str
) -> Lif:
    """``snntorch.Leaky(reset_delay=False)``: the reset comes in the step of the spike."""
    return snntorch(
        "Leaky",
        word,
        leak,
        theta,
        reset=reset,
        reset_delay=False,
        input_frac=input_frac,
        rounding=rounding,
    )


def loihi(
    du: np.ndarray,
    dv: np.ndarray,
    vth: np.ndarray,
    *,
    bias: np.ndarray,
    refractory: int,
    resets_current: bool,
) -> Lif:
    """A current-based compartment of Loihi 1, as its published emulators compute it.

    ``u = sgn (|u (4096 - du - 1)| >> 12) + (a << 6)`` wraps at 24 bits;
    ``v = sgn (|v (4096 - dv)| >> 12) + u + bias`` is clamped to ``±(2**23 - 1)``; a spike where
    ``v > vth << 6``, then ``v = 0``. ``resets_current``: whether ``u`` is cleared with it.
    ``refractory``: steps without spike after one, ``v`` held and ``u`` running; the chip's
    refractory delay less one. Sources: Lava's ``PyLifModelBitAcc``, nengo-loihi's emulator
    (``overflow_signed``: two's complement; Lava keeps ``u = +2**23`` as it is, 24 bits cannot).

    ``du``: 0..4095, ``dv``: 0..4096, ``vth``: 0..2**17 - 1, ``bias``: codes of v; each int64 [1]
    or [neurons]. The input is the sum of the weights of a step.
    """
    _within("du", du, 0, 4095)
    _within("dv", dv, 0, 4096)
    _within("vth", vth, 0, (1 << 17) - 1)
    current = Leak("mul_trunc0", 4095 - np.asarray(du, np.int64), 12)
    return _at_once(
        Word(24, 0, True, "sat_narrow"),
        Leak("mul_trunc0", 4096 - np.asarray(dv, np.int64), 12),
        np.asarray(vth, np.int64) << 6,
        compare="gt",
        reset="zero",
        input_frac=-6,
        refractory=refractory,
        refractory_mode="hold",
        synapse=Synapse(Word(24, 0, True, "wrap"), current, "new", resets_current),
        bias=bias,
    )


def xylo(
    dash_mem: np.ndarray,
    dash_syn: np.ndarray,
    v_th: np.ndarray,
    *,
    bias: np.ndarray,
    max_spikes: int,
) -> Lif:
    """A neuron of SynSense's Xylo with one synapse, as XyloSim's ``XyloIAFNeuron`` computes it.

    ``i = i + input`` leaks in the same step, and the membrane receives it; both leak by
    ``x >> dash``, or by one where that is 0; 16 bits, each addition clamped, and the change of v
    before v. While ``v >= v_th`` and fewer than ``max_spikes`` (31 in hidden neurons, 1 in
    readouts): one spike more, ``v -= v_th``. Equal to XyloSim wherever no partial sum of a
    step's weights leaves 16 bits.

    ``dash``: 1..15, ``v_th``: 1..32767, ``bias``: codes of v; each int64 [1] or [neurons].
    A second synapse: :func:`xylo_membrane`.
    """
    _within("dash_syn", dash_syn, 1, 15)
    synapse = Synapse(Word(16, 0, True, "sat_step"), Leak("shift_min1", dash_syn), "leaked", False)
    membrane = xylo_membrane(dash_mem, v_th, bias=bias, max_spikes=max_spikes)
    return replace(membrane, synapse=synapse)


def xylo_membrane(
    dash_mem: np.ndarray, v_th: np.ndarray, *, bias: np.ndarray, max_spikes: int
) -> Lif:
    """A neuron of Xylo but for its synapses: its input is the exact sum of their currents, each a
    layer of :func:`xylo_current` with weights of its own. Parameters as for :func:`xylo`."""
    _within("dash_mem", dash_mem, 1, 15)
    _within("v_th", v_th, *THRESHOLDS["xylo"][:2])
    return _at_once(
        Word(16, 0, True, "sat_change"),
        Leak("shift_min1", dash_mem),
        v_th,
        compare="ge",
        reset="subtract",
        input_frac=0,
        spike_levels=max_spikes,
        bias=bias,
    )


def xylo_current(dash_syn: np.ndarray) -> Lif:
    """A synaptic current of Xylo alone: it puts out ``i``, which a step clamps and then leaks."""
    _within("dash_syn", dash_syn, 1, 15)
    return replace(
        _at_once(
            Word(16, 0, True, "sat_step"),
            Leak("shift_min1", dash_syn),
            np.zeros(1),
            compare="ge",
            reset="none",
            input_frac=0,
        ),
        reset_vs_leak="before",
        output="membrane",
    )


def hls4ml(
    bits: int,
    frac: int,
    theta: np.ndarray,
    *,
    beta: np.ndarray | None,
    beta_frac: int,
    reset: str,
    input_frac: int,
) -> Lif:
    """``lif_neuron`` of hls4ml (``nnet_utils/nnet_snn.h``, 2026), or ``if_neuron``: ``beta`` None.

    ``v = (membrane_t)(beta * mem) + (membrane_t)data`` with ``membrane_t`` =
    ``ap_fixed<bits, bits - frac>``, which truncates and wraps; a spike where ``v >= theta``, which
    subtracts it or clears v ("zero") at once. ``beta`` is worth ``2**-beta_frac`` (at most 1).
    """
    if reset not in ("subtract", "zero"):
        raise ValueError(f"reset must be subtract or zero, got '{reset}'")
    return _at_once(
        Word(bits, frac, True, "wrap"),
        Leak("none", np.zeros(1)) if beta is None else Leak("mul_floor", beta, beta_frac),
        theta,
        compare="ge",
        reset=reset,
        input_frac=input_frac,
        rounding="floor",
    )


def spiker(bits: int, shift: int, theta: np.ndarray, *, reset: str, reset_value: np.ndarray) -> Lif:
    """A neuron of Spiker+ (``spikerplus/vhdl/lif_neuron_cu.py`` and ``_dp.py``).

    A step begins where the last one's sum is compared: ``v > theta`` fires and resets
    ("subtract" or "value", their "fixed") *instead* of leaking, otherwise ``v -= v >> shift``;
    then the weights of the step are added, with an adder that saturates. Equal wherever no
    partial sum of a step's weights saturates. The spike of this model's step t leaves Spiker+ at
    the beginning of its step t + 1, one more for each layer. Their reset "none" is refused: in
    2.0.3 a neuron that fires then gains ``v >> shift`` (``update_sel`` stays "01", adding).

    ``theta``: at least 0; ``reset_value``: codes of v; int64 [1] or [neurons].
    """
    if reset not in ("subtract", "value"):
        raise ValueError(f"reset must be subtract or value, got '{reset}'")
    _within("theta", theta, 0, (1 << (bits - 1)) - 1)
    return replace(
        _at_once(
            Word(bits, 0, True, "sat_add"),
            Leak("shift_floor", np.array([shift])),
            theta,
            compare="gt",
            reset=reset,
            input_frac=0,
            reset_value=reset_value,
        ),
        reset_timing="next",
        reset_vs_leak="instead",
    )


def tinyodin(leak: np.ndarray, theta: np.ndarray) -> Lif:
    """A neuron of tinyODIN (``lif_neuron.v``): 12 bits, clamped, leaking linearly toward 0.

    A step is a time reference event, ``v`` toward 0 by ``leak``, and then one synaptic event,
    ``v + input``; a spike where ``v >= 0`` and ``v >= theta`` clears v. Equal to the circuit where
    a neuron receives at most one synaptic event a step: the circuit compares after each.

    ``leak``: 0..127, ``theta``: 1..4095 (at 0 the circuit may fire on the time reference too, so
    twice a step); int64 [1] or [neurons]. States are signed, as in the RTL.
    """
    _within("leak", leak, 0, 127)
    _within("theta", theta, *THRESHOLDS["tinyodin"][:2])
    return _at_once(
        Word(12, 0, True, "sat_step"),
        Leak("linear", leak),
        theta,
        compare="ge",
        reset="zero",
        input_frac=0,
    )


def _at_once(
    word: Word,
    leak: Leak,
    theta: np.ndarray,
    *,
    rounding: str = "exact",
    spike_levels: int = 1,
    refractory: int = 0,
    refractory_mode: str = "silent",
    **choices: Any,
) -> Lif:
    """A neuron that leaks, is charged, compares and resets in one step, as most chips do."""
    return Lif(
        word,
        leak,
        theta,
        reset_timing="same",
        reset_vs_leak="after",
        reset_vs_input="before",
        rounding=rounding,
        spike_levels=spike_levels,
        refractory=refractory,
        refractory_mode=refractory_mode,
        output="spikes",
        **choices,
    )


#: Name of a preset, as front ends and the command line know it, and its function.
PRESETS: dict[str, Callable[..., Lif]] = {
    "snntorch_default": snntorch_default,
    "snntorch_no_delay": snntorch_no_delay,
    "loihi": loihi,
    "xylo": xylo,
    "hls4ml": hls4ml,
    "spiker": spiker,
    "tinyodin": tinyodin,
}


def _within(name: str, values: np.ndarray, lo: int, hi: int) -> None:
    if np.min(values) < lo or np.max(values) > hi:
        raise ValueError(f"{name} must lie in {lo}..{hi}, got {np.ravel(values).tolist()[:8]}")
