"""Conversion: the spike count of a neuron is the level of the activation it was trained with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.train.spiking.build import NetConfig  # noqa: E402
from codesign.train.spiking.rules.qcfs import (  # noqa: E402
    Qcfs,
    ann,
    convert,
    integrate_and_fire,
)


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(st.integers(1, 20), st.integers(-3, 3), st.integers(0, 6))
def test_constant_input_is_counted_exactly(levels: int, exponent: int, frac: int) -> None:
    """Every current the format holds, below 0 and above the threshold too."""
    model = integrate_and_fire(NetConfig((1, 1)), frac, exponent, 2.0 ** (exponent + 7))
    theta = int(model.theta[0])
    shift = model.word.frac - frac
    currents = np.arange(-theta >> shift, (2 * theta >> shift) + 1)
    spikes, _ = model.run(np.repeat(currents[None, None], levels, axis=1))
    act = Qcfs(levels, 2.0**exponent)
    wanted = act(torch.tensor(currents * 2.0**-frac, dtype=torch.float64)) * levels / 2.0**exponent
    assert np.array_equal(spikes.sum(1)[0], wanted.detach().numpy())


def test_the_first_layer_of_a_converted_network_counts_exactly() -> None:
    torch.manual_seed(3)
    levels = 6
    config = NetConfig((9, 12, 4), weight_frac=3, input_frac=4)
    net = ann(config, levels)
    with torch.no_grad():
        net[1].log_lambda.fill_(-0.8)  # lambda 1/2
    spiking = convert(net, config, levels)
    x = torch.randint(0, 16, (30, 9)) / 16
    counts = spiking.blocks[0](x[:, None].expand(-1, levels, -1)).sum(1)
    assert torch.equal(counts / levels * 0.5, net[:2](x))
    assert 0 < counts.mean() < levels


def test_the_readout_of_the_converted_network_is_the_trained_one() -> None:
    """One hidden layer whose counts are exact: the last membrane is T times the logits."""
    torch.manual_seed(4)
    levels = 5
    config = NetConfig((9, 12, 4), weight_frac=3, input_frac=4)
    net = ann(config, levels)
    spiking = convert(net, config, levels)
    x = torch.randint(0, 16, (30, 9)) / 16
    out = spiking(x[:, None].expand(-1, levels, -1))[:, -1]
    assert torch.allclose(out, net(x) * levels, atol=1e-4)


def test_lambda_is_learned() -> None:
    act = Qcfs(4)
    x = torch.linspace(-1, 3, 9, requires_grad=True)
    act(x).sum().backward()
    assert act.log_lambda.grad > 0
    inside = (x > -0.125) & (x <= 1.0)
    assert torch.equal(x.grad != 0, inside)
