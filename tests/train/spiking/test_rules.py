"""Learning rules: their gradients against equations, against each other, and what they forget."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from codesign.errors import UsageError
from codesign.neurons import Adaptation, Leak, Synapse, Word

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.train.spiking.build import NetConfig, dense_net, quant_linear  # noqa: E402
from codesign.train.spiking.layer import SpikingLayer  # noqa: E402
from codesign.train.spiking.network import Block, SpikingNet  # noqa: E402
from codesign.train.spiking.readout import READOUTS, readout  # noqa: E402
from codesign.train.spiking.rules.base import Objective, Rule  # noqa: E402
from codesign.train.spiking.rules.bptt import Bptt  # noqa: E402
from codesign.train.spiking.rules.grapes import Grapes, importance  # noqa: E402
from codesign.train.spiking.rules.ostl import Ostl  # noqa: E402
from codesign.train.spiking.rules.sltt import Sltt  # noqa: E402
from codesign.train.spiking.rules.tess import Tess  # noqa: E402
from tests.train.spiking.examples import lif_of  # noqa: E402

#: Its score is the output of the step: the loss of a step depends on that step's output.
NOW = Objective(readout("membrane"))


def batch(steps: int = 6, features: int = 7, classes: int = 4) -> tuple[object, object]:
    g = torch.Generator().manual_seed(5)
    x = (torch.rand(9, steps, features, generator=g) < 0.4).float()
    return x, torch.randint(0, classes, (9,), generator=g)


def one_layer(**change: object) -> SpikingNet:
    base = lif_of(Word(9, 4, True, "sat_step"), np.array([14]), input_frac=3, decay=13)
    model = replace(base, **{"rounding": "floor", **change})  # type: ignore[arg-type]
    torch.manual_seed(2)
    learn = ("theta", "leak", "bias")
    layer = SpikingLayer(model, learn=learn, features=4, through_reset=True)
    return SpikingNet(Block(quant_linear(7, 4, 4, 3), layer))


def grads(rule: Rule, net: SpikingNet, x: object, y: object, objective: Objective = NOW) -> dict:
    net.zero_grad()
    rule.gradients(net, x, y, objective)
    return {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}


def same(one: dict, two: dict) -> None:
    assert one.keys() == two.keys() and one
    for name, grad in one.items():
        assert grad.abs().max() > 0, name
        assert torch.allclose(grad, two[name], rtol=1e-4, atol=1e-6 * grad.abs().max().item()), name


NEURONS = {
    "plain": {},
    "next step": {"reset_timing": "next", "compare": "gt"},
    "to zero": {"reset": "zero"},
    "synapse": {
        "synapse": Synapse(
            Word(9, 4, True, "sat_step"), Leak("shift_floor", np.array([1])), "previous", False
        )
    },
    "adaptive": {
        "adaptation": Adaptation(
            Word(8, 4, False, "sat_step"), Leak("mul_floor", np.array([7]), 3), np.array([6])
        )
    },
    "membrane": {"output": "membrane", "reset": "none"},
}


@pytest.mark.parametrize("kind", sorted(NEURONS))
def test_ostl_of_one_layer_is_bptt(kind: str) -> None:
    net = one_layer(**NEURONS[kind])
    x, y = batch()
    if kind == "membrane":
        net.blocks[0].neuron.learn = ("leak", "bias")
    same(grads(Bptt(every_step=True), net, x, y), grads(Ostl(), net, x, y))


def test_ostl_of_two_layers_is_not_bptt_but_of_its_last_layer() -> None:
    torch.manual_seed(0)
    net = dense_net(NetConfig((7, 6, 4), weight_frac=3))
    x, y = batch()
    one, two = grads(Bptt(every_step=True), net, x, y), grads(Ostl(), net, x, y)
    last, first = "blocks.1.synapse.weight", "blocks.0.synapse.weight"
    same({last: one[last]}, {last: two[last]})
    cosine = torch.nn.functional.cosine_similarity(one[first].flatten(), two[first].flatten(), 0)
    assert 0.3 < cosine < 0.9999


@pytest.mark.parametrize(("recurrent", "chunk"), [(True, 4), (False, 1), (False, 4), (False, 9)])
def test_sltt_is_bptt_with_the_membrane_of_before_detached(recurrent: bool, chunk: int) -> None:
    torch.manual_seed(0)
    net = dense_net(NetConfig((7, 6, 4), weight_frac=3, recurrent=recurrent))
    x, y = batch()
    found = grads(Sltt(chunk=chunk), net, x, y)
    net.zero_grad()
    states, losses = None, []
    for t in range(x.shape[1]):
        out, states = net.step(x[:, t], states)
        states = [{name: v.detach() for name, v in own.items()} for own in states]
        losses.append(NOW.loss(out, y, 6) / 6)
    sum(losses).backward()
    same(found, {n: p.grad for n, p in net.named_parameters() if p.grad is not None})


def test_sltt_and_bptt_agree_on_one_step() -> None:
    torch.manual_seed(0)
    net = dense_net(NetConfig((7, 6, 4), weight_frac=3, output="spikes", threshold=0.5))
    x, y = batch(steps=1)
    objective = Objective(readout("count"))
    same(grads(Sltt(), net, x, y, objective), grads(Bptt(), net, x, y, objective))


def test_sltt_k_is_sltt_in_the_mean() -> None:
    torch.manual_seed(0)
    net = dense_net(NetConfig((7, 6, 4), weight_frac=3))
    x, y = batch(steps=4)
    whole = grads(Sltt(), net, x, y)
    mean: dict[str, object] = {}
    rounds = 400
    for _ in range(rounds):
        for name, grad in grads(Sltt(k=1), net, x, y).items():
            mean[name] = mean.get(name, 0.0) + grad / rounds
    for name, grad in whole.items():
        assert (mean[name] - grad).norm() < 0.2 * grad.norm(), name


@pytest.mark.parametrize("k", [0, 7])
def test_sltt_k_out_of_range(k: int) -> None:
    x, y = batch()
    with pytest.raises(UsageError, match="learns from 1 to T = 6 steps, got K ="):
        Sltt(k=k).gradients(one_layer(), x, y, NOW)


def test_tess_of_one_synapse_is_its_equation() -> None:
    """One input, one neuron that integrates: every term can be written down."""
    model = one_layer(output="membrane", reset="none").blocks[0].neuron.model
    net = SpikingNet(Block(quant_linear(1, 2, 4, 3), SpikingLayer(model)))
    with torch.no_grad():
        net.blocks[0].synapse.weight.copy_(torch.tensor([[0.5], [-0.25]]))
    spikes, label = [1.0, 0.0, 1.0], 1
    x = torch.tensor(spikes).reshape(1, 3, 1)
    rule = Tess(decay_pre=0.5, decay_post=0.25, a_pre=1.0, a_post=0.125)
    found = grads(rule, net, x, torch.tensor([label]))["blocks.0.synapse.weight"][:, 0]
    wanted, v, pre, post = np.zeros(2), np.zeros(2), 0.0, 0.0
    for s in spikes:  # Psi of an integrator is 1
        v = np.floor((v * 13 / 16) * 16) / 16 + np.array([0.5, -0.25]) * s
        pre, post = 0.5 * pre + s, 0.25 * post + 1
        error = np.exp(v) / np.exp(v).sum() - np.eye(2)[label]
        wanted += error / 3 * (pre + 0.125 * post * s)
    assert np.allclose(found.numpy(), wanted, rtol=1e-5)


def test_local_rules_refuse_what_they_cannot_learn() -> None:
    net = dense_net(NetConfig((7, 6, 4), recurrent=True))
    x, y = batch()
    for rule in (Ostl(), Tess()):
        with pytest.raises(UsageError, match="local rules learn dense feed-forward layers"):
            rule.gradients(net, x, y, NOW)


def test_grapes_scales_rows_by_importance() -> None:
    weight = torch.tensor([[1.0, -1.0], [0.5, 0.0], [4.0, 0.0]])
    assert importance(weight).tolist() == [1.0, 0.25, 2.0]
    layer = quant_linear(2, 3, 4, 0)
    with torch.no_grad():
        layer.weight.copy_(weight)
    layer.weight.grad = torch.ones(3, 2)
    wrapped = Grapes(torch.optim.SGD(layer.parameters(), lr=1.0), layer)
    wrapped.step()
    assert torch.equal(layer.weight, weight - torch.tensor([[1.0], [0.25], [2.0]]))
    wrapped.zero_grad()
    assert layer.weight.grad is None


def test_no_steps_is_an_error() -> None:
    _, y = batch()
    for rule in (Bptt(), Sltt(), Ostl(), Tess()):
        with pytest.raises(UsageError, match="at least one step"):
            rule.gradients(one_layer(), torch.zeros(9, 0, 7), y, NOW)


def test_loss_of_a_uniform_guess() -> None:
    out = torch.zeros(3, 5, 4)
    for name in READOUTS:
        objective = Objective(readout(name))
        loss = objective.loss(objective.readout(out), torch.tensor([0, 1, 2]), 5)
        assert math.isclose(float(loss), math.log(4), rel_tol=1e-6)


def test_the_first_spike_beats_all_later_ones() -> None:
    out = torch.zeros(1, 4, 2)
    out[0, 1, 1] = 1
    out[0, 2:, 0] = 1
    assert readout("first_spike")(out).argmax(1).tolist() == [1]
    # As the circuit reads it: later spikes do not part those that fire first together.
    out[0, 1, 0] = 1
    out[0, 2, 1] = 1
    assert readout("first_spike")(out)[0, :2].tolist() == [4 - 1, 4 - 1]
    assert readout("count")(out).argmax(1).tolist() == [0]
