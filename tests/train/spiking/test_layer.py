"""The PyTorch layer is the integer model: every output and state of every step, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codesign.errors import UsageError
from codesign.neurons import OVERFLOWS, Adaptation, Leak, Lif, Synapse, Word
from codesign.neurons.lif import CHOICES, SYN_ORDERS

torch = pytest.importorskip("torch")

from codesign.train.spiking.layer import SpikingLayer  # noqa: E402
from codesign.train.spiking.surrogate import SURROGATES  # noqa: E402
from tests.train.spiking.examples import lif_of  # noqa: E402

CHANNELS = 3
#: Of states other than the membrane.
INNER = tuple(o for o in OVERFLOWS if o != "sat_change")


def simple(**change: object) -> Lif:
    """A plain LIF: 8 bits, decay 7/8, soft reset in the same step."""
    base = lif_of(Word(8, 3, True, "sat_step"), np.array([8]), input_frac=3)
    return replace(base, **change)  # type: ignore[arg-type]


@st.composite
def leaks(draw: st.DrawFn, signed: bool) -> Leak:
    kind = draw(st.sampled_from(("none", "shift_floor", "mul_floor", "mul_trunc0", "mul_round",
                                 "linear", *(("shift_min1",) if signed else ()))))  # fmt: skip
    amount = draw(st.lists(st.integers(1, 7), min_size=1, max_size=1))
    if draw(st.booleans()):
        amount = draw(st.lists(st.integers(1, 7), min_size=CHANNELS, max_size=CHANNELS))
    return Leak(kind, np.array(amount), 3 if kind.startswith("mul") else 0)


@st.composite
def models(draw: st.DrawFn) -> Lif:
    def word(bits: int, overflows: tuple[str, ...] = INNER) -> Word:
        over = draw(st.sampled_from(overflows))
        return Word(bits, draw(st.integers(0, 3)), draw(st.booleans()), over)

    own = word(draw(st.integers(4, 9)), OVERFLOWS)
    choice = {name: draw(st.sampled_from(values)) for name, values in CHOICES.items()}
    choice["rounding"] = draw(st.sampled_from(("floor", "trunc0", "half_even")))
    synapse = adaptation = None
    if draw(st.booleans()):
        w = word(7)
        order = draw(st.sampled_from(SYN_ORDERS))
        synapse = Synapse(w, draw(leaks(w.signed)), order, draw(st.booleans()))
    if draw(st.booleans()):
        w = word(6)
        adaptation = Adaptation(w, draw(leaks(w.signed)), np.array([draw(st.integers(0, 5))]))
    theta = draw(st.lists(st.integers(1, 9), min_size=CHANNELS, max_size=CHANNELS))
    fields = {
        "word": own,
        "leak": draw(leaks(own.signed)),
        "theta": np.array(theta),
        "input_frac": draw(st.integers(0, 4)),
        "spike_levels": draw(st.sampled_from((1, 1, 3))),
        "refractory": draw(st.sampled_from((0, 0, 2))),
        "synapse": synapse,
        "adaptation": adaptation,
        "bias": np.array([draw(st.integers(-2, 2))]),
        "reset_value": np.array([draw(st.integers(0, 3))]),
        "v0": np.array([draw(st.integers(0, 4))]),
        **choice,
    }
    try:
        return Lif(**fields)
    except ValueError:  # choices that mean nothing together
        assume(False)
        raise


def compare(layer: SpikingLayer, x: np.ndarray) -> None:
    """``x``: codes int64 [batch, steps, elements]."""
    model = layer.neuron()
    outs, traces = model.run(x)
    current = torch.tensor(x * 2.0**-model.input_frac, dtype=torch.float32)
    states = layer.begin((x.shape[0], x.shape[2]))
    for t in range(x.shape[1]):
        out, states = layer.step(current[:, t], states)
        codes = (out / layer.gain).detach().numpy()
        assert np.array_equal(codes, outs[:, t]), f"output of step {t}"
        for name, trace in traces.items():
            assert np.array_equal(states[name].detach().numpy(), trace[:, t]), (name, t)


@settings(derandomize=True, deadline=None, database=None, max_examples=250)
@given(models(), st.integers(0, 2**32 - 1))
def test_every_step_is_the_integer_step(model: Lif, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-40, 60, (4, 8, CHANNELS * 2))
    compare(SpikingLayer(model), x)


def test_large_decay_uses_float64() -> None:
    model = simple(word=Word(20, 3, True, "wrap"), leak=Leak("mul_trunc0", np.array([4000]), 12))
    layer = SpikingLayer(model)
    assert layer.dtype == torch.float64
    compare(layer, np.random.default_rng(0).integers(-(2**19), 2**19, (4, 12, 5)))


def test_what_float64_cannot_hold_is_refused() -> None:
    model = simple(word=Word(40, 3, True, "wrap"), leak=Leak("mul_trunc0", np.array([4000]), 20))
    with pytest.raises(UsageError, match="needs 61 bits, float64 holds 53"):
        SpikingLayer(model)


def test_images_have_a_parameter_for_each_channel() -> None:
    model = simple(theta=np.array([4, 9, 14]))
    x = np.random.default_rng(1).integers(-6, 12, (2, 5, 4, 4, CHANNELS))  # channels last
    outs, _ = model.run(x.reshape(2, 5, -1))
    current = torch.tensor(np.moveaxis(x, -1, 2) / 8, dtype=torch.float32)
    found = SpikingLayer(model)(current).numpy()
    assert np.array_equal(np.moveaxis(found, 2, -1).reshape(outs.shape), outs)


def test_learned_parameters_stay_what_the_format_holds() -> None:
    layer = SpikingLayer(simple(), learn=("theta", "leak", "bias"), features=4)
    with torch.no_grad():
        layer.p_theta.copy_(torch.tensor([-3.0, 2.5, 7.4, 900.0]))
        layer.p_leak.copy_(torch.tensor([-1.0, 3.6, 15.5, 40.0]))
        layer.p_bias.copy_(torch.tensor([-1.2, 300.0, -300.0, 0.5]))
    model = layer.neuron()
    assert model.theta.tolist() == [1, 2, 7, 127]
    assert model.leak.amount.tolist() == [0, 4, 16, 16]
    assert model.bias.tolist() == [-1, 127, -128, 0]
    compare(layer, np.random.default_rng(2).integers(-20, 30, (3, 9, 4)))


def test_learned_parameters_receive_gradients() -> None:
    layer = SpikingLayer(simple(), learn=("theta", "leak", "bias"), features=4)
    x = torch.rand(5, 6, 4, generator=torch.Generator().manual_seed(0)).mul(8).round() / 8
    layer(x.requires_grad_()).sum().backward()
    for value in (x, layer.p_theta, layer.p_leak, layer.p_bias):
        assert value.grad is not None
        assert value.grad.abs().sum() > 0
    assert layer.p_theta.grad.sum() < 0 < layer.p_bias.grad.sum()


def test_a_shift_is_not_trained() -> None:
    model = simple(leak=Leak("shift_floor", np.array([2])))
    with pytest.raises(UsageError, match="leak of kind 'shift_floor' is not trained"):
        SpikingLayer(model, learn=("leak",))


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_surrogates_peak_at_the_threshold(name: str) -> None:
    u = torch.arange(-200, 201) / 100
    shape = SURROGATES[name](u, 2.0)
    assert shape[200] == 1 == shape.max()
    assert torch.equal(shape, shape.flip(0))
    assert shape[0] < 0.1


def test_an_unknown_surrogate_is_named() -> None:
    with pytest.raises(UsageError, match="unknown surrogate gradient 'step'"):
        SpikingLayer(simple(), surrogate_gradient="step")
