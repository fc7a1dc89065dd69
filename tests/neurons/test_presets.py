"""Presets against snnTorch itself in float64; Loihi's reset of currents, which no oracle of
test_oracles.py has, against plain Python integers; and what a chip cannot hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from codesign.neurons import Leak, Lif, Word, presets

STEPS, NEURONS = 200, 24


def drive(model: Lif, currents: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs and state traces [steps, neurons] of currents int64 [steps, neurons]."""
    out, traces = model.run(currents[None])
    return out[0], {name: trace[0] for name, trace in traces.items()}


def noise(seed: int, lo: int, hi: int, shape: tuple[int, int] = (STEPS, NEURONS)) -> np.ndarray:
    """Currents that dwell: each neuron has its own mean, some reach the ends of the range."""
    rng = np.random.default_rng(seed)
    x = rng.integers(lo, hi + 1, shape)
    return np.clip(x + np.linspace(lo, hi, shape[1]).astype(np.int64), lo * 2, hi * 2)


# --- snnTorch -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def snn():
    return pytest.importorskip("snntorch")


FRAC = 6


def floor_to_grid(state):
    """The state quantizer: down to multiples of 2**-FRAC, which no later sum can round again."""
    import torch

    return torch.floor(state * 2**FRAC) / 2**FRAC


@pytest.mark.parametrize("theta", [64, 40])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize(
    "preset, delay", [("snntorch_default", True), ("snntorch_no_delay", False)]
)
def test_snntorch_leaky(snn, preset, delay, reset, theta) -> None:
    """Every spike and every membrane; the inputs reach far beyond twice the threshold, where a
    spike leaves enough for the next one."""
    import torch

    torch_cell = snn.Leaky(
        beta=torch.tensor(117 / 128, dtype=torch.float64),
        threshold=theta / 2**FRAC,
        reset_mechanism=reset,
        reset_delay=delay,
        state_quant=floor_to_grid,
    )
    make = presets.PRESETS[preset]
    leak = Leak("mul_floor", np.array([117]), 7)
    word = Word(24, FRAC, True, "sat_step")
    model = make(word, leak, np.array([theta]), reset=reset, input_frac=FRAC, rounding="exact")

    currents = noise(3, -60, 110)
    spikes, states = drive(model, currents)
    mem = torch.zeros(1, NEURONS, dtype=torch.float64)
    for t in range(STEPS):
        x = torch.from_numpy(currents[t : t + 1] / 2**FRAC)
        spk, mem = torch_cell(x, mem)
        assert (spk.numpy()[0] == spikes[t]).all(), t
        assert (mem.numpy()[0] * 2**FRAC == states["v"][t]).all(), t
    assert 0.1 < spikes.mean() < 0.9


def test_a_large_input_leaves_more_than_the_threshold(snn) -> None:
    """Where 'both' differs from 'same': the step after a residue above the threshold."""
    args = (Word(16, 0, True, "sat_step"), Leak("none", np.zeros(1)), np.array([10]))
    model = presets.snntorch_no_delay(*args, reset="subtract", input_frac=0, rounding="exact")
    spikes, states = drive(model, np.array([[35], [-10], [0], [0]]))
    # 35 fires, 25 remain; 25 - 10 - 10 = 5 does not fire although 15 is above the threshold
    assert spikes[:, 0].tolist() == [1, 0, 0, 0]
    assert states["v"][:, 0].tolist() == [25, 15, 15, 15]


def test_snntorch_refuses_what_it_does_not_have() -> None:
    word, leak, theta = Word(8, 0, True, "wrap"), Leak("none", np.zeros(1)), np.array([-1])
    rest = {"reset": "zero", "reset_delay": False, "input_frac": 0, "rounding": "exact"}
    with pytest.raises(ValueError, match="needs a threshold of at least 0"):
        presets.snntorch("Leaky", word, leak, theta, **rest)
    with pytest.raises(ValueError, match="Synaptic has a synaptic current"):
        presets.snntorch("Synaptic", word, leak, theta, **rest)
    with pytest.raises(ValueError, match="cell must be one of"):
        presets.snntorch("Lapicque", word, leak, theta, **rest)


# --- Loihi --------------------------------------------------------------------------------------


def sign_shift(x: int, by: int) -> int:
    return (abs(x) >> by) * (1 if x >= 0 else -1)


@dataclass
class Loihi:
    du: int
    dv: int
    vth: int
    bias: int
    resets_current: bool
    refractory: int
    u: int = 0
    v: int = 0
    wait: int = 0

    def step(self, a: int) -> int:
        self.u = sign_shift(self.u * (4096 - self.du - 1), 12) + (a << 6)
        self.u = (self.u + (1 << 23)) % (1 << 24) - (1 << 23)
        if self.wait:
            self.wait -= 1
            return 0
        self.v = sign_shift(self.v * (4096 - self.dv), 12) + self.u + self.bias
        self.v = max(-(1 << 23) + 1, min((1 << 23) - 1, self.v))
        if self.v <= self.vth << 6:
            return 0
        self.v, self.wait = 0, self.refractory
        if self.resets_current:
            self.u = 0
        return 1


@pytest.mark.parametrize("resets_current", [False, True])
@pytest.mark.parametrize("refractory", [0, 3])
@pytest.mark.parametrize("du, dv, vth, limit", [(300, 128, 900, 400), (0, 0, 100000, 30000)])
def test_loihi(du, dv, vth, limit, refractory, resets_current) -> None:
    bias = 77
    model = presets.loihi(
        np.array([du]),
        np.array([dv]),
        np.array([vth]),
        bias=np.array([bias]),
        refractory=refractory,
        resets_current=resets_current,
    )
    currents = noise(5, -limit, limit)
    spikes, states = drive(model, currents)
    for n in range(NEURONS):
        chip = Loihi(du, dv, vth, bias, resets_current, refractory)
        for t in range(STEPS):
            assert chip.step(int(currents[t, n])) == spikes[t, n], (n, t)
            assert (chip.u, chip.v) == (states["i"][t, n], states["v"][t, n]), (n, t)
    assert spikes.any()
    if limit > 10000:  # both ends were reached
        assert states["v"].min() == -(1 << 23) + 1
        assert (np.abs(np.diff(states["i"], axis=0)) > 1 << 23).any()


# --- what a chip cannot hold --------------------------------------------------------------------


def spiker(reset: str, theta: int) -> Lif:
    return presets.spiker(8, 1, np.array([theta]), reset=reset, reset_value=np.zeros(1))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: presets.xylo(*np.eye(3, dtype=int), bias=np.zeros(1), max_spikes=1), "dash_syn"),
        (lambda: presets.tinyodin(np.array([128]), np.array([1])), "leak must lie in 0..127"),
        (lambda: presets.tinyodin(np.array([1]), np.array([0])), "theta must lie in 1..4095"),
        (lambda: presets.xylo_current(np.array([16])), "dash_syn must lie in 1..15"),
        (lambda: spiker("value", -1), "theta must lie in 0..127"),
        (lambda: spiker("none", 1), "reset must be subtract or value"),
    ],
)
def test_values_a_chip_cannot_hold(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make()
