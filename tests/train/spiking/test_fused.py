"""Plain neurons run many steps at once: the integers, and the derivatives, of single steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.neurons import Leak, Lif, Synapse, Word

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.train.spiking.build import NetConfig, dense_net, quant_linear  # noqa: E402
from codesign.train.spiking.chain import is_chain  # noqa: E402
from codesign.train.spiking.fused import Plain, is_plain  # noqa: E402
from codesign.train.spiking.layer import SpikingLayer  # noqa: E402
from codesign.train.spiking.network import Block, SpikingNet  # noqa: E402
from codesign.train.spiking.readout import readout  # noqa: E402
from codesign.train.spiking.rules import sltt  # noqa: E402
from codesign.train.spiking.rules.base import Objective  # noqa: E402
from codesign.train.spiking.rules.bptt import Bptt  # noqa: E402
from codesign.train.spiking.rules.leaves import quantized  # noqa: E402
from codesign.train.spiking.rules.sltt import Sltt  # noqa: E402
from codesign.train.spiking.surrogate import SURROGATES  # noqa: E402
from tests.train.spiking.examples import lif_of  # noqa: E402

CHANNELS, BATCH, STEPS = 3, 4, 7


def plain(**change: object) -> Lif:
    base = lif_of(Word(7, 3, True, "sat_step"), np.array([9, 12, 20]), input_frac=4)
    return replace(base, **{"rounding": "floor", **change})  # type: ignore[arg-type]


@st.composite
def models(draw: st.DrawFn) -> Lif:
    kind = draw(st.sampled_from(("none", "shift_floor", "mul_floor", "mul_trunc0", "mul_round")))
    channels = draw(st.sampled_from((1, CHANNELS)))
    amount = np.array(draw(st.lists(st.integers(1, 7), min_size=channels, max_size=channels)))
    reset = draw(st.sampled_from(("none", "zero", "subtract")))
    bits, frac = draw(st.integers(4, 9)), draw(st.integers(0, 3))
    return plain(
        word=Word(bits, frac, draw(st.booleans()), "sat_step"),
        leak=Leak(kind, amount, 3 if kind.startswith("mul") else 0),
        theta=np.array(draw(st.lists(st.integers(0, 9), min_size=CHANNELS, max_size=CHANNELS))),
        bias=np.array([draw(st.integers(-2, 2))]),
        v0=np.array([draw(st.integers(0, 4))]),
        compare=draw(st.sampled_from(("ge", "gt"))),
        reset=reset,
        input_frac=draw(st.integers(0, 4)),
        rounding=draw(st.sampled_from(("floor", "trunc0", "half_even"))),
        output=draw(st.sampled_from(("spikes", "membrane") if reset == "none" else ("spikes",))),
    )


def weighted(outs: object) -> object:
    """A number that depends on every output differently."""
    g = torch.Generator().manual_seed(1)
    return (outs * torch.randn(outs.shape, generator=g)).sum()


def derivatives(layer: SpikingLayer, loss: object, currents: object) -> list:
    ins = [currents, *(getattr(layer, f"p_{name}") for name in layer.learn)]
    found = torch.autograd.grad(loss, ins, allow_unused=True)
    return [torch.zeros(()) if g is None else g for g in found]


def step_by_step(layer: SpikingLayer, currents: object, through_time: bool) -> object:
    states, outs = layer.begin(tuple(currents.shape[1:])), []
    for current in currents:
        out, states = layer.step(current, states)
        if not through_time:
            states = {name: value.detach() for name, value in states.items()}
        outs.append(out)
    return torch.stack(outs)


def check(layer: SpikingLayer, codes: np.ndarray, through_time: bool) -> None:
    """``codes``: int64 [steps, batch, elements]."""
    assert is_plain(layer)
    model = layer.neuron()
    currents = torch.tensor(codes * 2.0**-model.input_frac, dtype=torch.float32).requires_grad_()
    fused = Plain.of(layer, tuple(currents.shape[1:]))
    v = fused.begin(tuple(currents.shape[1:]))
    outs = fused.run(currents, v, through_time)
    truth, traces = model.run(codes.swapaxes(0, 1))
    assert np.array_equal(outs.detach().numpy() / layer.gain, truth.swapaxes(0, 1))
    assert np.array_equal(v.numpy(), traces["v"][:, -1])
    wanted = step_by_step(layer, currents, through_time)
    assert torch.equal(wanted, outs)
    pairs = zip(
        derivatives(layer, weighted(outs), currents),
        derivatives(layer, weighted(wanted), currents),
        strict=True,
    )
    for one, two in pairs:
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-5)


@settings(derandomize=True, deadline=None, database=None, max_examples=150)
@given(models(), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(sorted(SURROGATES)))
def test_all_steps_at_once_are_single_steps(
    model: Lif, seed: int, through_time: bool, surrogate: str
) -> None:
    codes = np.random.default_rng(seed).integers(-60, 80, (STEPS, BATCH, CHANNELS * 2))
    learn = ("bias",) if model.output == "membrane" or model.theta.min() < 1 else ("theta", "bias")
    layer = SpikingLayer(model, learn=learn, features=CHANNELS, surrogate_gradient=surrogate)
    check(layer, codes, through_time)


def test_pictures_have_a_parameter_for_each_channel() -> None:
    layer = SpikingLayer(plain(), learn=("theta",))
    currents = torch.randint(-20, 60, (STEPS, BATCH, CHANNELS, 4, 4)).float() / 16
    currents.requires_grad_()
    fused = Plain.of(layer, (BATCH, CHANNELS, 4, 4))
    outs = fused.run(currents, fused.begin((BATCH, CHANNELS, 4, 4)), through_time=True)
    wanted = step_by_step(layer, currents, through_time=True)
    assert torch.equal(wanted, outs)
    for one, two in zip(
        derivatives(layer, weighted(outs), currents),
        derivatives(layer, weighted(wanted), currents),
        strict=True,
    ):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-5)


OTHERS = {
    "wraps": {"word": Word(7, 3, True, "wrap")},
    "later reset": {"reset_timing": "next"},
    "synapse": {
        "synapse": Synapse(
            Word(7, 3, True, "sat_step"), Leak("shift_floor", np.array([1])), "new", False
        )
    },
    "refractory": {"refractory": 2},
    "levels": {"spike_levels": 3},
    "needs float64": {"word": Word(22, 3, True, "sat_step")},
}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_neurons_are_not_plain(name: str) -> None:
    assert is_plain(SpikingLayer(plain()))
    assert not is_plain(SpikingLayer(plain(**OTHERS[name])))
    assert not is_plain(SpikingLayer(plain(), learn=("leak",)))


@pytest.mark.parametrize("read", ["count", "membrane", "membrane_sum", "first_spike"])
def test_bptt_written_out_is_autograds(read: str) -> None:
    torch.manual_seed(0)
    emits = readout(read).neuron_output
    net = dense_net(NetConfig((7, 12, 6, 4), weight_frac=3, output=emits, threshold=0.5))
    x = (torch.rand(9, 6, 7) < 0.4).float()
    y, found = torch.randint(0, 4, (9,)), []
    for fused in (False, True):
        net.zero_grad()
        loss = Bptt(fused=fused, activity=0.01).gradients(net, x, y, Objective(readout(read)))
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        found.append([torch.tensor(loss), *grads])
    for one, two in zip(*found, strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)


def test_sltt_of_plain_neurons_keeps_two_numbers_a_neuron_and_step() -> None:
    """Inputs of the next weights, and membranes; nothing of steps outside of the chunk."""
    torch.manual_seed(0)
    net = dense_net(NetConfig((50, 60, 70, 10)))
    x, y = (torch.rand(8, 24, 50) < 0.3).float(), torch.randint(0, 10, (8,))
    kept: list[int] = []

    def pack(tensor: object) -> object:
        if tensor.dim() == 3 or (tensor.dim() == 2 and len(tensor) == 8 * 4):
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        Sltt(chunk=4).gradients(net, x, y, Objective(readout("membrane_sum")))
    assert max(kept) == 8 * 4 * 70


@pytest.mark.parametrize("k", [1, 3, 6])
@pytest.mark.parametrize("chunk", [1, 4, 9])
@pytest.mark.parametrize("read", ["membrane_sum", "count"])
def test_sltt_of_plain_neurons_is_sltt_of_any(
    k: int, chunk: int, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a chain, layer by layer with steps at once, and step by step."""
    torch.manual_seed(0)
    emits = readout(read).neuron_output
    net = dense_net(NetConfig((7, 12, 6, 4), weight_frac=3, threshold=0.5, output=emits))
    x = (torch.rand(9, 6, 7) < 0.4).float()
    y, found = torch.randint(0, 4, (9,)), []
    assert is_chain(net)
    for chain, fused in ((True, True), (False, True), (False, False)):
        monkeypatch.setattr(sltt, "is_chain", lambda _, chain=chain: chain)
        monkeypatch.setattr(sltt, "is_plain", is_plain if fused else lambda _: False)
        net.zero_grad()
        torch.manual_seed(3)
        loss = Sltt(k, chunk).gradients(net, x, y, Objective(readout(read)))
        grads = [p.grad for p in net.parameters() if p.grad is not None]
        assert all(grad.abs().max() > 0 for grad in grads)
        found.append([torch.tensor(loss), *grads])
    assert [len(f) for f in found] == [1 + 3 + (5 if emits == "membrane" else 6)] * 3
    for others in found[1:]:
        for one, two in zip(found[0], others, strict=True):
            assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)


def test_what_is_no_chain() -> None:
    assert not is_chain(dense_net(NetConfig((7, 6, 4), recurrent=True)))
    hidden = Block(torch.nn.Sequential(quant_linear(7, 6, 4, 3)), SpikingLayer(plain()))
    assert not is_chain(SpikingNet(hidden))
    assert not is_chain(SpikingNet(Block(torch.nn.Flatten(), SpikingLayer(plain()))))
    late = SpikingLayer(plain(reset_timing="next"))
    assert not is_chain(SpikingNet(Block(quant_linear(7, 6, 4, 3), late)))


@pytest.mark.parametrize(("bits", "frac"), [(2, 0), (4, 3), (8, 9)])
def test_weights_on_their_grid_are_brevitas(bits: int, frac: int) -> None:
    """Values of every code, tie and overflow, and derivatives."""
    layer = quant_linear(3 * 2 ** (bits + 2) + 1, 1, bits, frac)
    count = layer.weight.numel() // 2
    with torch.no_grad():
        layer.weight.copy_(torch.arange(-count, count + 1) * 2.0 ** -(frac + 3) * 2)
    one, two = layer.quant_weight().value, quantized(layer)
    assert torch.equal(one, two) and len(one.unique()) == 2**bits - 1
    given = torch.randn_like(one)
    assert torch.equal(*(torch.autograd.grad(v, layer.weight, given)[0] for v in (one, two)))
