"""Thresholds of 0 and below in NIR files: what the preset's chip does with them, or refused."""

from __future__ import annotations

from collections.abc import Callable

import nir
import numpy as np
import pytest

from codesign.errors import UnsupportedModel
from codesign.frontend.nir import NirPolicy, import_nir
from tests.frontend.nir_models import DT, FRAC, W, chain, inputs, lif, outputs, policy

#: Of each preset: state bits and fraction bits, overflow, leak and its fraction bits.
STATES = {
    "snntorch_default": (24, FRAC, "sat_step", "mul_floor", 4),
    "snntorch_no_delay": (24, FRAC, "sat_step", "mul_floor", 4),
    "loihi": (24, FRAC, "sat_narrow", "mul_trunc0", 12),
    "xylo": (16, 10, "sat_change", "shift_min1", 0),
    "hls4ml": (24, FRAC, "wrap", "mul_floor", 4),
    "spiker": (24, FRAC, "sat_add", "shift_floor", 0),
    "tinyodin": (12, 6, "sat_step", "mul_floor", 4),
}


def of(preset: str, **changes: object) -> NirPolicy:
    bits, frac, overflow, kind, leak_frac = STATES[preset]
    state = {"bits": bits, "frac": frac, "signed": True, "overflow": overflow}
    synapse = {**state, "overflow": "wrap"} if preset == "loihi" else state
    leak = {"kind": kind, "frac": leak_frac}
    reset = "subtract" if preset == "xylo" else "value"
    own = {"state": state, "synapse": synapse, "leak": leak, "synapse_leak": leak}
    return policy(**{"preset": preset, "reset": reset, **own, **changes})


def node(preset: str, threshold: float) -> nir.NIRNode:
    theta = np.full(4, threshold)
    if preset == "tinyodin":  # NIR's leaks are exponential, tinyODIN's is linear: none
        return nir.IF(r=np.ones(4), v_threshold=theta, v_reset=np.zeros(4))
    return lif(4, v_threshold=theta)


def down(v: np.ndarray) -> np.ndarray:
    return np.floor(v * 2**FRAC) / 2**FRAC


def to_zero(v: np.ndarray) -> np.ndarray:
    return np.trunc(v * 2**FRAC) / 2**FRAC


# One step in real numbers: the membrane before, the spikes before, the current -> the membrane
# that is compared; and how it is compared. Each chip clears the membrane of a neuron that fires,
# at once or where its step begins.
CHIPS: dict[str, tuple[Callable, Callable, bool]] = {
    "snntorch_default": (lambda v, z, x: down(0.75 * v) * (1 - z) + x, np.greater, False),
    "snntorch_no_delay": (lambda v, z, x: down(0.75 * v) + x, np.greater, True),
    "loihi": (lambda v, z, x: to_zero(0.75 * v) + x, np.greater, True),
    "hls4ml": (lambda v, z, x: down(0.75 * v) + x, np.greater_equal, True),
    "spiker": (lambda v, z, x: np.where(z > 0, 0, v - down(v / 4)) + x, np.greater, False),
}


@pytest.mark.parametrize("threshold", [0.0, -0.5])
@pytest.mark.parametrize("preset", CHIPS)
def test_what_the_chip_does(preset: str, threshold: float) -> None:
    if threshold < 0 and preset in ("loihi", "spiker", "snntorch_no_delay"):
        return  # refused, below
    step, fires, at_once = CHIPS[preset]
    x, v, z, wanted = inputs(3), np.zeros(4), np.zeros(4), []
    for current in x @ W.T - 0.25:
        v = step(v, z, current)
        z = fires(v, threshold).astype(float)
        wanted.append(z)
        if at_once:
            v = v * (1 - z)
    found = outputs(chain(nir.Affine(W, np.full(4, -0.25)), node(preset, threshold)), x, of(preset))
    assert (found == np.stack(wanted)).all()
    assert found.any() and not found.all()


@pytest.mark.parametrize(
    "preset, threshold, says",
    [
        ("tinyodin", 0.0, r"'tinyodin' has thresholds of 0.015625..63.98\d* \(codes 1..4095\), "
         "not 0: its circuit compares after each event"),
        ("tinyodin", -0.5, "not -0.5: its circuit compares after each event"),
        ("tinyodin", 64.0, "not 64$"),
        ("xylo", 0.0, r"\(codes 1..32767\), not 0: at 0 it would fire without end"),
        ("xylo", -0.5, "not -0.5: at 0 it would fire"),
        ("loihi", -0.5, r"\(codes 0..8388544\), not -0.5: its register is unsigned"),
        ("loihi", 128.0, "not 128$"),
        ("spiker", -0.5, "not -0.5: a neuron at rest would fire in every step"),
        ("snntorch_no_delay", -0.5, "snnTorch doubles the membrane below"),
    ],
)  # fmt: skip
def test_refused(preset: str, threshold: float, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=r"'n0' \((LIF|IF)\)") as caught:
        import_nir(chain(node(preset, threshold), shape=(4,)), of(preset))
    assert "another preset" in str(caught.value)
    with pytest.raises(UnsupportedModel, match=f"(?m){says}"):
        import_nir(chain(node(preset, threshold), shape=(4,)), of(preset))


def test_the_least_threshold_of_tinyodin() -> None:
    import_nir(chain(node("tinyodin", 2.0**-6), shape=(4,)), of("tinyodin"))


@pytest.mark.parametrize(
    "preset, tau, change, says",
    [
        ("xylo", DT * 2**16, {}, "leaks by shifts of 1..15"),
        ("loihi", DT * 2**13, {"leak": {"kind": "mul_trunc0", "frac": 13}}, "decays of 12 bits"),
    ],
)
def test_leaks_a_chip_does_not_have(preset: str, tau: float, change: dict, says: str) -> None:
    slow = lif(4, tau=np.full(4, tau), r=np.full(4, tau / DT))
    with pytest.raises(UnsupportedModel, match=says):
        import_nir(chain(slow, shape=(4,)), of(preset, **change))
