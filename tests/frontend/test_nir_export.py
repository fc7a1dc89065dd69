"""Exchange models as NIR graphs, and back again."""

from __future__ import annotations

import io

import nir
import numpy as np
import pytest
from onnx import numpy_helper

from codesign.exchange import neurons_of, read_metadata, with_decoder, with_encoder, write_metadata
from codesign.frontend.nir import export_nir, import_nir
from codesign.spikes.bessel import Bessel, design
from codesign.spikes.coders import Latency
from tests.frontend.nir_models import (
    DT,
    NODES,
    W,
    chain,
    inputs,
    lif,
    outputs,
    policy,
    recurrent,
    vector,
    weights,
)
from tests.frontend.step_runner import run_steps


@pytest.mark.parametrize("name", NODES)
def test_round_trip_of_neurons(name: str) -> None:
    again(chain(nir.Linear(W), NODES[name]), inputs(3))


@pytest.mark.parametrize("nested", [False, True])
def test_round_trip_of_loops(nested: bool) -> None:
    again(recurrent(nested), inputs(3))


def test_round_trip_of_layers() -> None:
    graph = chain(
        nir.Conv2d(None, weights(3, 4, 1, 3, 3), (1, 1), "same", (1, 1), 2, weights(4, 4)),
        nir.LIF(*(np.full((4, 6, 5), n) for n in (4 * DT, 4.0, 0.0, 1.0, 0.0))),
        nir.SumPool2d(np.array([2, 2]), np.array([2, 1]), np.array([0, 0])),
        nir.Delay(np.full((4, 3, 4), 2 * DT)),
        nir.Scale(np.full((4, 3, 4), 0.5)),
        nir.Flatten(np.array([4, 3, 4]), 0, -1),
        nir.Affine(weights(5, 2, 48), vector(0.5, -1)),
        lif(2),
        shape=(2, 6, 5),
    )
    graph.edges.remove(("n2", "n3"))  # a delay of sums would be refused
    graph.edges = [("n1", "n3") if e == ("n1", "n2") else e for e in graph.edges]
    graph.edges = [("n3", "n2") if e == ("n3", "n4") else e for e in graph.edges] + [("n2", "n4")]
    graph.nodes["n3"] = nir.Delay(np.full((4, 6, 5), 2 * DT))
    kinds = again(graph, inputs(2, 6, 5))
    assert {"Conv2d", "SumPool2d", "Delay", "Scale", "Flatten", "Affine"} <= kinds


def again(graph: object, x: np.ndarray) -> set[str]:
    """NIR to ours to NIR to ours: the same spikes and the same neurons, through a file."""
    given = policy(integrators="per_second", parameters="nearest")
    if any(isinstance(n, nir.IF | nir.I) for n in graph.nodes.values()):
        for node in graph.nodes.values():
            if isinstance(node, nir.IF | nir.I):
                node = type(node)(**{**vars_of(node), "r": node.r / DT})
                graph.nodes["n1"] = node
    first = import_nir(graph, given)
    exported = export_nir(first.scan)
    file = io.BytesIO()
    nir.write(file, exported.graph)
    second = import_nir(exported.graph, given)
    result = second.step.graph.output[0].name
    assert (run_steps(second.step, x)[result] == outputs(graph, x, given)).all()
    ours, theirs = neurons_of(first.step), neurons_of(second.step)
    for a, b in zip(ours.values(), theirs.values(), strict=True):
        assert a.attributes == b.attributes
        for key, values in a.neuron.parameters().items():
            assert (values == b.neuron.parameters()[key]).all(), key
    assert not second.changes
    return {type(n).__name__ for n in exported.graph.nodes.values()}


def vars_of(node: object) -> dict[str, np.ndarray]:
    names = ("r", "v_threshold", "v_reset")
    return {n: getattr(node, n) for n in names if hasattr(node, n)}


def test_export_warns() -> None:
    """All that NIR cannot say is named."""
    under = policy(preset="snntorch_default", reset="subtract")
    warnings = "\n".join(export_nir(import_nir(chain(nir.Linear(W), lif(4)), under).step).warnings)
    for says in (
        "fires on > and resets in the next step",
        "resets to v_reset, not by 'subtract'",
        "8 bits in steps of 0.03125",
        "v 24 bits, 16 of fraction, sat_step",
        "dt 0.0009765625 s, 24 steps",
        "leak is mul_floor with 4 bits",
    ):
        assert says in warnings


def test_export_leaves_out_encoder_and_decoder() -> None:
    made = import_nir(chain(nir.Linear(W), lif(4)), policy(preset="snntorch_default")).scan
    plain = export_nir(made)
    said = read_metadata(made)
    write_metadata(made, said.model_copy(update={"encoding": "latency", "readout": "bessel"}))
    smooth = with_decoder(made, Bessel(said.steps, 1, 0, False, design(2, 0.3, 10, 4)))
    whole = export_nir(with_encoder(smooth, Latency(said.steps, 4, 4, low=1)))
    assert set(whole.graph.nodes) == set(plain.graph.nodes)
    assert [w.split(":")[0] for w in whole.warnings[:2]] == [
        "NIR has no LatencyEncoder", "NIR has no BesselDecoder",
    ]  # fmt: skip


def test_trained_networks_have_the_weights_they_compute_with() -> None:
    """Brevitas keeps float weights before their quantizer, and swaps the axes of dense ones."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("brevitas.nn")
    from codesign.train.spiking.build import NetConfig, lif, quant_conv, quant_linear
    from codesign.train.spiking.encode import Encoding
    from codesign.train.spiking.export import export_spiking
    from codesign.train.spiking.layer import SpikingLayer
    from codesign.train.spiking.network import Block, SpikingNet

    torch.manual_seed(4)
    config = NetConfig((1, 1), weight_frac=3, threshold=0.75)
    readout = SpikingLayer(lif(config, "membrane"), learn=("bias",), features=5)
    synapses = [
        quant_conv(2, 3, 3, 4, 3, padding=1),
        torch.nn.Sequential(torch.nn.Flatten(), quant_linear(48, 5, 4, 3)),
    ]
    hidden = SpikingLayer(lif(config))
    net = SpikingNet(Block(synapses[0], hidden), Block(synapses[1], readout))
    bias = np.array([3, -2, 0, 5, 1])
    with torch.no_grad():
        readout.p_bias.copy_(torch.from_numpy(bias))
    made = export_spiking(net.eval(), (2, 4, 4), Encoding("rate", 3), "membrane")
    for model in (made.scan, made.step):
        exported = export_nir(model)
        conv, dense = (
            n for n in exported.graph.nodes.values() if isinstance(n, nir.Conv2d | nir.Affine)
        )
        for node, layer in ((conv, synapses[0]), (dense, synapses[1][1])):
            wanted = layer.quant_weight()
            wanted = (wanted if torch.is_tensor(wanted) else wanted.value).detach().numpy()
            assert (node.weight == wanted).all()
            assert not (layer.weight.detach().numpy() == wanted).all()
        # An integrator of NIR has no bias.
        assert (dense.bias == bias * 2.0**-readout.model.word.frac).all()
        assert "4 bits in steps of 0.125" in "\n".join(exported.warnings)


def test_a_convolution_keeps_its_bias() -> None:
    conv = nir.Conv2d(None, weights(3, 4, 1, 3, 3), (1, 1), 0, (1, 1), 1, np.zeros(4))
    neurons = nir.LIF(*(np.full((4, 2, 2), n) for n in (4 * DT, 4.0, 0.0, 1.0, 0.0)))
    model = import_nir(chain(conv, neurons, shape=(1, 4, 4)), policy()).step
    (node,) = (n for n in model.graph.node if n.op_type == "Conv")
    bias = np.array([0.5, -1, 0, 2], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(bias, "b"))
    node.input.append("b")
    (made,) = (n for n in export_nir(model).graph.nodes.values() if isinstance(n, nir.Conv2d))
    assert (made.bias == bias).all()
