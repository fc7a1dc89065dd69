"""Presets against what they reproduce: snnTorch itself in float64, and each chip's published
update as plain Python integers, neuron by neuron."""

from __future__ import annotations

from dataclasses import dataclass, field

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


# --- Xylo ---------------------------------------------------------------------------------------


def clamp16(x: int) -> int:
    return max(-(1 << 15), min((1 << 15) - 1, x))


def xylo_decay(x: int, dash: int) -> int:
    lost = x >> dash
    return lost if lost else (x > 0) - (x < 0)


@dataclass
class Xylo:
    dash_mem: int
    dash_syn: int
    v_th: int
    bias: int
    max_spikes: int
    i: int = 0
    v: int = 0

    def step(self, x: int) -> int:
        self.i = clamp16(self.i + x)
        self.i -= xylo_decay(self.i, self.dash_syn)
        change = clamp16(clamp16(-xylo_decay(self.v, self.dash_mem) + self.i) + self.bias)
        self.v = clamp16(self.v + change)
        spikes = 0
        while self.v >= self.v_th and spikes < self.max_spikes:
            spikes += 1
            self.v -= self.v_th
        return spikes


@pytest.mark.parametrize("max_spikes", [1, 31])
@pytest.mark.parametrize("dash_mem, dash_syn, v_th, limit", [(3, 2, 50, 30), (1, 5, 900, 9000)])
def test_xylo(dash_mem, dash_syn, v_th, limit, max_spikes) -> None:
    model = presets.xylo(
        np.array([dash_mem]),
        np.array([dash_syn]),
        np.array([v_th]),
        bias=np.array([-3]),
        max_spikes=max_spikes,
    )
    currents = noise(7, -limit, limit)
    spikes, states = drive(model, currents)
    for n in range(NEURONS):
        chip = Xylo(dash_mem, dash_syn, v_th, -3, max_spikes)
        for t in range(STEPS):
            assert chip.step(int(currents[t, n])) == spikes[t, n], (n, t)
            assert (chip.i, chip.v) == (states["i"][t, n], states["v"][t, n]), (n, t)
    assert max_spikes >= spikes.max() >= min(max_spikes, 2)
    if limit > 1000:
        assert np.abs(states["i"]).max() > (1 << 14)


# --- hls4ml -------------------------------------------------------------------------------------


@dataclass
class ApFixed:
    """``ap_fixed<bits, bits - frac>`` as its default modes: truncate, wrap."""

    bits: int
    frac: int

    def cast(self, code: int, frac: int) -> int:
        code = code >> (frac - self.frac) if frac >= self.frac else code << (self.frac - frac)
        half = 1 << (self.bits - 1)
        return (code + half) % (2 * half) - half


@dataclass
class Hls4ml:
    kind: ApFixed
    beta: int | None
    beta_frac: int
    theta: int
    reset: str
    mem: int = 0

    def step(self, data: int, input_frac: int) -> int:
        kept, frac = self.mem, self.kind.frac
        if self.beta is not None:
            kept = self.kind.cast(self.beta * self.mem, self.beta_frac + frac)
        v = self.kind.cast(kept + self.kind.cast(data, input_frac), frac)
        fired = v >= self.theta
        if fired:
            v = self.kind.cast(v - self.theta, frac) if self.reset == "subtract" else 0
        self.mem = v
        return int(fired)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("beta", [None, 230])
@pytest.mark.parametrize("bits", [10, 16])
def test_hls4ml(bits, beta, reset) -> None:
    model = presets.hls4ml(
        bits,
        4,
        np.array([90]),
        beta=None if beta is None else np.array([beta]),
        beta_frac=8,
        reset=reset,
        input_frac=6,
    )
    currents = noise(9, -2500, 2500)
    spikes, states = drive(model, currents)
    wrapped = False
    for n in range(NEURONS):
        kernel = Hls4ml(ApFixed(bits, 4), beta, 8, 90, reset)
        for t in range(STEPS):
            assert kernel.step(int(currents[t, n]), 6) == spikes[t, n], (n, t)
            assert kernel.mem == states["v"][t, n], (n, t)
            wrapped |= currents[t, n] < 0 < kernel.mem
    assert spikes.any() and wrapped


# --- Spiker+ ------------------------------------------------------------------------------------


@dataclass
class Spiker:
    bits: int
    shift: int
    theta: int
    reset: str
    reset_value: int
    v: int = 0
    fired: list[int] = field(default_factory=list)

    def sat(self, x: int) -> int:
        half = 1 << (self.bits - 1)
        return max(-half, min(half - 1, x))

    def step(self, weights: int) -> None:
        """The state machine from one "sample" to the next: fire or leak, then excite."""
        if self.v > self.theta:
            self.fired.append(1)
            if self.reset == "subtract":
                self.v = self.sat(self.v - self.theta)
            elif self.reset == "value":
                self.v = self.reset_value
        else:
            self.fired.append(0)
            self.v = self.sat(self.v - (self.v >> self.shift))
        self.v = self.sat(self.v + weights)


@pytest.mark.parametrize("reset", ["subtract", "value", "none"])
@pytest.mark.parametrize("bits, limit", [(16, 60), (8, 60)])
def test_spiker(bits, limit, reset) -> None:
    model = presets.spiker(bits, 3, np.array([100]), reset=reset, reset_value=np.array([-5]))
    currents = noise(11, -limit, limit)
    spikes, states = drive(model, currents)
    for n in range(NEURONS):
        chip = Spiker(bits, 3, 100, reset, -5)
        for t in range(STEPS):
            chip.step(int(currents[t, n]))
            assert chip.v == states["v"][t, n], (n, t)
        assert chip.fired[1:] == spikes[:-1, n].tolist()
    assert spikes.any()


# --- tinyODIN -----------------------------------------------------------------------------------


def tinyodin_step(v: int, leak: int, theta: int, weight: int) -> tuple[int, int]:
    """A time reference event and a synaptic event, as the RTL's 12-bit words."""
    v = max(v - leak, 0) if v >= 0 else min(v + leak, 0)
    v = max(-2048, min(2047, v + weight))
    return (1, 0) if 0 <= v >= theta else (0, v)


@pytest.mark.parametrize("leak, theta", [(3, 40), (0, 2047), (127, 0)])
def test_tinyodin(leak, theta) -> None:
    model = presets.tinyodin(np.array([leak]), np.array([theta]))
    currents = noise(13, -70, 70)
    spikes, states = drive(model, currents)
    for n in range(NEURONS):
        v = 0
        for t in range(STEPS):
            s, v = tinyodin_step(v, leak, theta, int(currents[t, n]))
            assert (s, v) == (spikes[t, n], states["v"][t, n]), (n, t)
    assert spikes.any()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: presets.xylo(*np.eye(3, dtype=int), bias=np.zeros(1), max_spikes=1), "dash_mem"),
        (lambda: presets.tinyodin(np.array([128]), np.array([1])), "leak must lie in 0..127"),
        (
            lambda: presets.spiker(8, 1, np.array([-1]), reset="none", reset_value=np.zeros(1)),
            "theta must lie in 0..127",
        ),
    ],
)
def test_values_a_chip_cannot_hold(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make()
