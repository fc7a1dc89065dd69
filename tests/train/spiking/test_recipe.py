"""The recipes, on runs small enough for every test round; the promised accuracies are slow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codesign.errors import UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.cli import main  # noqa: E402
from codesign.frontend import import_qonnx  # noqa: E402
from codesign.train.golden import load_golden  # noqa: E402
from codesign.train.spiking.build import NetConfig, dense_net, exact_code  # noqa: E402
from codesign.train.spiking.choose import NEURONS, neuron  # noqa: E402
from codesign.train.spiking.recipe import SpikingOptions, save, train_spiking  # noqa: E402


@pytest.mark.parametrize("rule", ["bptt", "sltt", "sltt-k", "ostl", "tess"])
def test_every_rule_learns(rule: str) -> None:
    epochs = 10 if rule == "tess" else 2
    options = SpikingOptions(steps=4, rule=rule, hidden=(16,), epochs=epochs, seed=2)
    assert train_spiking("poisson", options).accuracy > 0.6


def test_conversion_learns() -> None:
    options = SpikingOptions(steps=4, rule="qcfs", hidden=(24,), epochs=6, lr=0.02)
    assert train_spiking("digits", options).accuracy > 0.6


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    options = SpikingOptions(steps=3, hidden=(8,), epochs=1, grapes=True, activity=1e-3)
    one, two = (train_spiking("poisson", options) for _ in range(2))
    assert one.exported.scan == two.exported.scan
    beside = save(one, tmp_path / "net.onnx")
    golden = load_golden(beside)
    assert beside == tmp_path / "net.golden.npz"
    assert golden.quantized_accuracy == one.accuracy
    imported = import_qonnx(tmp_path / "net.onnx")
    assert set(golden.test) <= set(imported.tensor_names.values())
    assert golden.test["layer0"].shape == (180, 3, 8)


def test_spikes_that_cost_are_fewer() -> None:
    few, many = (
        train_spiking("poisson", SpikingOptions(hidden=(16,), epochs=2, activity=cost))
        for cost in (0.02, 0.0)
    )
    assert few.hidden_spikes < 0.8 * many.hidden_spikes


@pytest.mark.parametrize("name", sorted(NEURONS))
def test_presets_can_be_trained(name: str) -> None:
    torch.manual_seed(6)
    config = NetConfig((6, 5, 3), weight_frac=3)
    net = dense_net(NetConfig((6, 5, 3), weight_frac=3, neuron=neuron(name, config)))
    x = torch.randint(0, 2, (8, 5, 6), generator=torch.Generator().manual_seed(1)).float()
    net(x).sum().backward()
    assert net.blocks[0].synapse.weight.grad.abs().sum() > 0
    model = net.blocks[0].neuron.neuron()
    w = net.blocks[0].synapse.quant_weight().value
    codes = ((x @ w.T) * 2**model.input_frac).detach().numpy().astype(np.int64)
    assert np.array_equal(net.blocks[0](x).detach().numpy(), model.run(codes)[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rule": "hebb"}, "unknown rule 'hebb'"),
        ({"encoder": "gpu"}, "unknown encoder 'gpu'"),
        ({"steps": 0}, "at least 1 time step, got T = 0"),
        ({"readout": "vote"}, "unknown readout 'vote'"),
        ({"rule": "qcfs", "readout": "count"}, "qcfs reads out the membrane"),
        ({"decay": 1.5}, "a decay is 0 to 1, got 1.5"),
        ({"decay": float("nan")}, "a decay is 0 to 1, got nan"),
        ({"decay": 0.5, "neuron": "tinyodin"}, "tinyodin has no membrane that decays by a factor"),
        ({"decay": 0.5, "rule": "qcfs"}, "qcfs has no membrane that decays by a factor"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_bad_options_are_named(fields: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SpikingOptions(**fields)


def test_unknown_neurons_are_named() -> None:
    with pytest.raises(UsageError, match="unknown neuron 'cat'") as caught:
        neuron("cat", NetConfig((6, 5, 3)))
    assert "snntorch_default" in caught.value.hint


def test_a_decay_the_format_cannot_hold_states_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"decay = 0.9 is no multiple of 2\^-4") as caught:
        exact_code(0.9, 4, "decay")
    assert "nearest that the format holds is 0.875" in caught.value.hint


@pytest.mark.parametrize("name", sorted(set(NEURONS) - {"tinyodin"}))
def test_presets_take_a_decay_exactly_or_not(name: str) -> None:
    one = np.array([1 << 12])
    for decay in (0.5, 0.75, 0.875):
        leak = neuron(name, NetConfig((6, 5, 3), decay=decay)).leak
        assert leak.apply(one) == one * decay
    with pytest.raises(UsageError, match="decay = 0.7 is no") as caught:
        neuron(name, NetConfig((6, 5, 3), decay=0.7))
    assert "the nearest" in caught.value.hint


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "snn.onnx"
    words = ["train", "poisson", "--spiking", "--steps", "3", "--epochs", "1", "-o", str(out)]
    with pytest.raises(SystemExit) as done:
        main([*words, "--layers", "8"])
    assert done.value.code in (0, None)
    assert "on the test split, T = 3" in capsys.readouterr().out
    assert out.exists() and out.with_suffix(".step.onnx").exists()
    with pytest.raises(SystemExit) as done:
        main([*words, "--rule", "hebb"])
    assert done.value.code == 2
    assert "unknown rule 'hebb'" in capsys.readouterr().err


@pytest.mark.slow
def test_digits_reach_95_percent_in_4_steps() -> None:
    assert train_spiking("digits", SpikingOptions(steps=4)).accuracy >= 0.95
