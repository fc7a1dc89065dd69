"""What the registers of a preset's chip can hold, of neurons that are not made by the preset
itself but only follow its order of things (:mod:`codesign.frontend.nir`)."""

from __future__ import annotations

import numpy as np

from codesign.neurons.leak import Leak
from codesign.neurons.lif import Lif
from codesign.neurons.word import Word

#: Thresholds a chip has, in codes of the membrane, and why none below. Spiker+: 0 to its word's
#: greatest code. snnTorch and hls4ml compare with any.
THRESHOLDS = {
    "loihi": (0, ((1 << 17) - 1) << 6, "its register is unsigned"),
    "xylo": (1, 32767, "at 0 it would fire without end"),
    "tinyodin": (1, 4095, "its circuit compares after each event: at 0 it may fire twice a step"),
}


def thresholds(preset: str, bits: int) -> tuple[int, int, str] | None:
    """Least and greatest threshold in codes of a membrane of ``bits``, and why none is less;
    None where any will do."""
    if preset == "spiker":
        return 0, (1 << (bits - 1)) - 1, "a neuron at rest would fire in every step"
    return THRESHOLDS.get(preset)


def check_threshold(preset: str, theta: np.ndarray, word: Word, reset: str) -> None:
    """``ValueError`` where the chip of ``preset`` has no such ``theta``, int64 codes of ``word``,
    or does something else with it than other neurons."""
    found = thresholds(preset, word.bits)
    if found is not None:
        lo, hi, why = found
        wrong = theta[(theta < lo) | (theta > hi)]
        if wrong.size:
            unit = 2.0**-word.frac
            reason = f": {why}" if wrong[0] < lo else ""
            raise ValueError(
                f"preset '{preset}' has thresholds of {lo * unit:.9g}..{hi * unit:.9g} "
                f"(codes {lo}..{hi}), not {wrong[0] * unit:.9g}{reason}"
            )
    if preset == "snntorch_no_delay" and reset == "zero" and np.min(theta) < 0:
        raise ValueError(
            "preset 'snntorch_no_delay' resets to zero only with thresholds of at least 0: "
            "snnTorch doubles the membrane below"
        )


def check_leaks(preset: str, model: Lif) -> None:
    """``ValueError`` where ``model`` has a leak that the chip of ``preset`` does not have."""
    _check_leak(preset, model.leak, synaptic=False)
    if model.synapse is not None:
        _check_leak(preset, model.synapse.leak, synaptic=True)


def _check_leak(preset: str, leak: Leak, *, synaptic: bool) -> None:
    if preset == "xylo" and leak.kind == "shift_min1" and np.max(leak.amount) > 15:
        raise ValueError(
            "preset 'xylo' leaks by shifts of 1..15, a decay of at most "
            f"{1 - 2.0**-15:.9g} a step, not 1 - 2^-{int(np.max(leak.amount))}"
        )
    if preset == "loihi" and leak.kind == "mul_trunc0":
        if ((leak.amount << 12) % (1 << leak.frac)).any():
            raise ValueError(f"preset 'loihi' has decays of 12 bits, the policy's have {leak.frac}")
        if synaptic and (leak.amount >= 1 << leak.frac).any():
            raise ValueError("preset 'loihi' has currents that decay, by 1/4096 a step at least")
