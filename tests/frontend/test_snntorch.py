"""snnTorch networks as exchange models: every spike and every state of every step, against
snnTorch itself in float64."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.errors import UnsupportedModel, UsageError
from codesign.exchange import Metadata
from codesign.frontend import import_qonnx
from codesign.frontend.snntorch import import_snntorch
from codesign.frontend.spiking import Formats
from codesign.frontend.spiking.policy import parse
from codesign.passes import lower
from codesign.reference import run
from tests.frontend.step_runner import run_steps

torch = pytest.importorskip("torch")
snn = pytest.importorskip("snntorch")
nn = torch.nn

FRAC = 12


def formats(**changes: object) -> Formats:
    state = {"bits": 24, "frac": FRAC, "signed": True, "overflow": "sat_step"}
    leak = {"kind": "mul_floor", "frac": 7}
    given = {
        "parameters": "exact",
        "rounding": "exact",
        "input": {"bits": 4, "frac": 1, "signed": True},
        "weights": {"bits": 6, "frac": 4},
        "state": state,
        "leak": leak,
        "synapse": state,
        "synapse_leak": leak,
    }
    return parse({**given, **changes}, Formats, "test")


def time(steps: int, readout: str = "count") -> Metadata:
    return Metadata(steps=steps, dt=1e-3, encoding="direct", readout=readout, reset_at_window=True)


def quantized(module: nn.Module, seed: int) -> nn.Module:
    """Weights and biases that 6 bits, 4 of them of fraction, hold."""
    rng = np.random.default_rng(seed)
    for parameter in module.parameters():
        codes = rng.integers(-16, 32 if parameter.ndim > 1 else 16, parameter.shape)
        parameter.data = torch.from_numpy(codes / 16)
    return module.double().eval()


def floor_states(x):
    return torch.floor(x * 2**FRAC) / 2**FRAC


def heaviside(x):
    """snnTorch's own forward pass, but its ``.float()`` would leave float64."""
    return (x > 0).to(x.dtype)


def inputs(steps: int, *shape: int, seed: int = 1) -> np.ndarray:
    """Values of 4 bits, one of them a fraction."""
    return np.random.default_rng(seed).integers(-8, 8, (steps, *shape)) / 2


def states_after(cell) -> dict[str, np.ndarray]:
    found = {"v": cell.mem[0].detach().numpy().copy()}
    if hasattr(cell, "syn_exc"):
        found |= {"e": cell.syn_exc[0].detach().numpy().copy()}
        found |= {"h": cell.syn_inh[0].detach().numpy().copy()}
    if hasattr(cell, "syn"):
        found["i"] = cell.syn[0].detach().numpy().copy()
    return found


def step_torch(modules, x, spikes):
    """One step as a user's forward() has it; ``spikes`` of the last step, by cell."""
    for name, module in modules:
        if hasattr(module, "mem"):
            given = [x]
            if type(module).__name__ == "RSynaptic" and not module.reset_delay:
                given += [spikes.get(name, torch.zeros_like(x)), module.syn, module.mem]
                given[2:] = [s if s.shape == x.shape else torch.zeros_like(x) for s in given[2:]]
            x = module(*given)[0]
            spikes[name] = x
        else:
            x = module(x)
    return x


def compare(net: nn.Module, shape: tuple[int, ...], steps: int, form: Formats) -> float:
    """All spikes and states equal; returns how often neurons fired."""
    made = import_snntorch(net, form, time(steps), input_shape=shape)
    for module in net:
        if hasattr(module, "mem"):
            module.spike_grad = heaviside
            if type(module).__name__ in ("Leaky", "RLeaky"):
                module.state_quant = floor_states
    x = inputs(steps, *shape)
    seen = run_steps(made.step, x)
    modules = list(net.named_children())
    last: dict = {}
    fired = []
    with torch.no_grad():
        for t in range(steps):
            out = step_torch(modules, torch.from_numpy(x[t][None]), last)
            for name, cell in ((n, m) for n, m in modules if hasattr(m, "mem")):
                ours = f"{type(cell).__name__.lower()}_{name}"
                spk = seen[ours][t]
                assert (last[name][0].numpy() == spk).all(), (ours, t)
                fired.append(spk.mean())
                for state, value in states_after(cell).items():
                    if state == "v" and f"{ours}.v" not in seen:
                        continue  # an Alpha without reset does not keep it
                    assert (value == seen[f"{ours}.{state}_next"][t]).all(), (ours, state, t)
            assert (out[0].numpy() == seen[made.step.graph.output[0].name][t]).all()
    return float(np.mean(fired))


def cell(kind: str, size: int, reset: str, delay: bool, beta: float, alpha: float):
    """A cell with a vector of thresholds and decays."""
    decays = torch.tensor([beta, beta / 2] * (size // 2), dtype=torch.float64)
    rest = {"reset_mechanism": reset, "reset_delay": delay, "init_hidden": False}
    rest["threshold"] = torch.linspace(0.5, 2, 4, dtype=torch.float64).repeat(size // 4)
    if kind in ("RLeaky", "RSynaptic"):
        rest["linear_features"] = size
    if kind.endswith("Synaptic"):
        rest["alpha"] = torch.tensor(alpha, dtype=torch.float64)
    return getattr(snn, kind)(beta=decays, **rest)


CASES = [
    (kind, reset, delay)
    for kind in ("Leaky", "RLeaky", "Synaptic", "RSynaptic")
    for reset in ("subtract", "zero", "none")
    for delay in (True, False)
]


@pytest.mark.parametrize("kind, reset, delay", CASES)
def test_cells(kind: str, reset: str, delay: bool) -> None:
    """Leaky cells with decays that need rounding (their state_quant rounds as ours); cells with
    a synapse for as long as every state is exact."""
    synaptic = kind.endswith("Synaptic")
    net = nn.Sequential(
        nn.Linear(5, 8),
        cell(kind, 8, reset, delay, 0.5 if synaptic else 0.875, 0.5),
        nn.Linear(8, 4, bias=False),
        cell(kind, 4, reset, delay, 0.5 if synaptic else 114 / 128, 0.5),
    )
    for module in net:
        if isinstance(module, nn.Linear) or hasattr(module, "recurrent"):
            inner = getattr(module, "recurrent", module)
            quantized(inner, 3)
    # beta and beta / 2 add up to 2 fraction bits a step: 6 + 2 * 7 = 20
    form = formats()
    if synaptic:
        word = {"bits": 24, "frac": 15, "signed": True, "overflow": "sat_step"}
        form = formats(state=word, synapse=word)
    assert 0.05 < compare(net, (5,), 5 if synaptic else 60, form) < 0.95


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_alpha(reset: str) -> None:
    """Two currents; decays 1/2 and 1/4 have a tau of 2, and 2 fraction bits a step at most."""
    decays = (torch.tensor(d, dtype=torch.float64) for d in (0.5, 0.25))
    net = nn.Sequential(
        quantized(nn.Linear(5, 8), 3), snn.Alpha(*decays, threshold=0.5, reset_mechanism=reset)
    )
    word = {"bits": 24, "frac": 17, "signed": True, "overflow": "sat_step"}
    assert 0.05 < compare(net, (5,), 6, formats(state=word, synapse=word)) < 0.95


def test_alpha_with_a_tau_that_is_not_held() -> None:
    net = nn.Sequential(snn.Alpha(alpha=0.875, beta=0.5))
    with pytest.raises(UnsupportedModel, match=r"tau 1.2386\d* is no multiple of 2\^-7: the near"):
        import_snntorch(net, formats(), time(4), input_shape=(3,))
    with pytest.raises(UnsupportedModel, match="none is the faster"):
        import_snntorch(_slow_alpha(), formats(), time(4), input_shape=(3,))


def _slow_alpha() -> nn.Module:
    net = nn.Sequential(snn.Alpha(0.5, 0.25))
    net[0].alpha = torch.tensor(0.25)
    return net


@pytest.mark.parametrize("kind", ["RLeaky", "RSynaptic"])
def test_hidden_states_that_are_not_reset(kind: str) -> None:
    """``init_hidden`` without a reset between windows: spikes that go back do so across them."""
    net = nn.Sequential(nn.Linear(5, 8), cell(kind, 8, "subtract", True, 0.5, 0.5))
    quantized(net[0], 3)
    quantized(net[1].recurrent, 3)
    net[1].init_hidden, net[1].spike_grad = True, heaviside
    word = {"bits": 24, "frac": 17, "signed": True, "overflow": "sat_step"}
    going = time(3).model_copy(update={"reset_at_window": False})
    made = import_snntorch(net, formats(state=word, synapse=word), going, input_shape=(5,))
    x = inputs(6, 5)
    with torch.no_grad():
        spikes = np.stack([net(torch.from_numpy(step[None]))[0].numpy() for step in x])
    graph = lower(import_qonnx(made.scan).graph)
    counts = run(graph, {graph.inputs[0]: x.reshape(2, 3, 5).astype(np.float32)})
    assert (counts[graph.outputs[0]].reshape(2, 8) == spikes.reshape(2, 3, 8).sum(1)).all()
    assert spikes[2].any() and spikes[3:].any()


def test_one_to_one_recurrence() -> None:
    rest = {"all_to_all": False, "V": torch.tensor([0.5, -0.25, 1.0, 1.5], dtype=torch.float64)}
    beta = torch.tensor(0.75, dtype=torch.float64)
    net = nn.Sequential(quantized(nn.Linear(5, 4), 4), snn.RLeaky(beta, **rest))
    assert compare(net, (5,), 40, formats()) > 0.05


def test_convolutions_and_pools() -> None:
    """Channels with thresholds of their own, pools, a recurrent convolution, Flatten."""
    theta = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64).reshape(3, 1, 1)
    beta = torch.tensor(0.75, dtype=torch.float64)
    net = nn.Sequential(
        quantized(nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)), 5),
        snn.Leaky(beta, threshold=theta),
        nn.AvgPool2d(2, stride=1),
        quantized(nn.Conv2d(3, 4, 3, padding="same", groups=1, dilation=1), 6),
        snn.RLeaky(beta, conv2d_channels=4, kernel_size=3, threshold=4.0),
        nn.MaxPool2d(2),
        nn.Flatten(),
        quantized(nn.Linear(16, 4), 8),
        snn.Leaky(beta, reset_mechanism="zero"),
    )
    quantized(net[4].recurrent, 7)
    assert 0.05 < compare(net, (2, 9, 6), 12, formats()) < 0.95


def test_membrane_readout() -> None:
    beta = torch.tensor(0.75, dtype=torch.float64)
    net = nn.Sequential(quantized(nn.Linear(3, 2), 1), snn.Leaky(beta, reset_mechanism="none"))
    made = import_snntorch(net, formats(), time(9, "membrane"), input_shape=(3,))
    net[1].state_quant = floor_states
    x = inputs(9, 3)
    seen = run_steps(made.step, x)
    for t in range(9):
        net(torch.from_numpy(x[t][None]))
        assert (seen["leaky_1"][t] == net[1].mem[0].detach().numpy()).all()


def test_brevitas_weights() -> None:
    """The weights that its quantizer makes, power-of-two scaled, not those it keeps."""
    qnn = pytest.importorskip("brevitas.nn")
    from brevitas.quant import Int8WeightPerTensorFixedPoint

    layer = qnn.QuantLinear(
        3, 4, bias=False, weight_quant=Int8WeightPerTensorFixedPoint, weight_bit_width=4
    ).eval()
    net = nn.Sequential(layer, snn.Leaky(0.75))
    form = formats(weights={"bits": 16, "frac": 14})
    made = import_snntorch(net, form, time(4), input_shape=(3,))
    value = next(t for t in made.step.graph.initializer if t.name.endswith("_0.weight"))
    held = np.frombuffer(value.raw_data, np.float32).reshape(3, 4).T
    assert (held == layer.quant_weight().value.detach().numpy()).all()
    assert (held != layer.weight.detach().numpy()).any()


def test_layers_by_name() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snn.Leaky(0.75)
            self.fc = quantized(nn.Linear(3, 2), 1)

    with pytest.raises(UsageError, match="order of layers is not known"):
        import_snntorch(Net(), formats(), time(2), input_shape=(3,))
    made = import_snntorch(Net(), formats(), time(2), input_shape=(3,), layers=["fc", "lif"])
    assert [n.op_type for n in made.step.graph.node] == ["Quant", "Quant", "MatMul", "Quant",
                                                         "Add", "Lif"]  # fmt: skip
    assert made.scan.graph.node[0].op_type == "Scan"


def test_nearest_is_reported() -> None:
    net = nn.Sequential(quantized(nn.Linear(3, 2), 1), snn.Leaky(0.9))
    made = import_snntorch(net, formats(parameters="nearest"), time(2), input_shape=(3,))
    says = "leaky_1: 1 of 1 decay values rounded, the largest change is 0.00156"
    assert str(made.changes[0]) == says


def leaky(**rest: object) -> nn.Module:
    return nn.Sequential(quantized(nn.Linear(3, 2), 1), snn.Leaky(**{"beta": 0.5, **rest}))


REFUSED = [
    (lambda: leaky(beta=0.9), r"decay 0.899999976 is no multiple of 2\^-7: the nearest is 0.8984"),
    (lambda: leaky(threshold=0.3), r"threshold 0.300000012 is no multiple of 2\^-12"),
    (lambda: leaky(inhibition=True), "inhibition"),
    (lambda: leaky(graded_spikes_factor=2.0), "graded_spikes_factor 2"),
    (lambda: leaky(state_quant=floor_states), "a state_quant of its own"),
    (lambda: leaky(threshold=-1.0, reset_mechanism="zero", reset_delay=False), "at least 0"),
    (lambda: nn.Sequential(nn.Linear(3, 2), snn.Leaky(0.5)), "weight .* is no multiple"),
    (lambda: nn.Sequential(nn.BatchNorm1d(3), snn.Leaky(0.5)), "a layer BatchNorm1d"),
    (lambda: nn.Sequential(nn.AvgPool1d(3), snn.Leaky(0.5)), "average of 3 elements"),
    (lambda: nn.Sequential(quantized(nn.Linear(4, 2), 1)), r"takes \(4,\), a value of shape \(3,"),
    (lambda: nn.Sequential(snn.Leaky(torch.full((2,), 0.5))), r"shape \(2,\) for neurons"),
]


@pytest.mark.parametrize("make, says", REFUSED)
def test_refused(make, says: str) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        import_snntorch(make(), formats(), time(4), input_shape=(3,))


def test_missing_synapse_formats() -> None:
    net = nn.Sequential(snn.Synaptic(alpha=0.5, beta=0.5))
    with pytest.raises(UnsupportedModel, match="formats are missing"):
        import_snntorch(net, formats(synapse=None), time(4), input_shape=(3,))


def test_a_cell_used_twice() -> None:
    """One set of states for two layers: not left out, as torch's named_children() would."""
    fc, cell = quantized(nn.Linear(3, 3), 1), snn.Leaky(0.5)
    with pytest.raises(UnsupportedModel, match="leaky_3: it is used twice"):
        import_snntorch(nn.Sequential(fc, cell, fc, cell), formats(), time(4), input_shape=(3,))


def test_a_layer_used_twice() -> None:
    """Weights have no state: the layer stands in both places."""
    fc = quantized(nn.Linear(3, 3), 1)
    net = nn.Sequential(fc, snn.Leaky(0.5), fc, snn.Leaky(0.5))
    made = import_snntorch(net, formats(), time(4), input_shape=(3,))
    assert [n.op_type for n in made.step.graph.node].count("MatMul") == 2


def test_no_cell_to_read() -> None:
    net = nn.Sequential(quantized(nn.Linear(3, 3), 1))
    with pytest.raises(UsageError, match="a membrane is to be read, but there is no cell"):
        import_snntorch(net, formats(), time(4, "membrane"), input_shape=(3,))
    with pytest.raises(UsageError, match="no layer 'lif'\n.*it has 0"):
        import_snntorch(net, formats(), time(4), input_shape=(3,), layers=["lif"])
