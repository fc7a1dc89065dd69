"""What PyTorch recorded is what the exported file computes: every spike and state word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Real
from codesign.frontend import import_qonnx
from codesign.neurons import Lif
from codesign.reference import run
from codesign.reference.boundaries import boundaries
from codesign.reference.states import with_states
from codesign.spikes.bessel import design

torch = pytest.importorskip("torch")
pytest.importorskip("brevitas.nn")

from codesign.exchange import neurons_of, states_of, to_step  # noqa: E402
from codesign.train.spiking.build import (  # noqa: E402
    NetConfig,
    dense_net,
    lif,
    quant_conv,
    quant_linear,
)
from codesign.train.spiking.encode import Encoding  # noqa: E402
from codesign.train.spiking.export import export_spiking  # noqa: E402
from codesign.train.spiking.golden import record_spiking  # noqa: E402
from codesign.train.spiking.layer import SpikingLayer  # noqa: E402
from codesign.train.spiking.network import Block, SpikingNet  # noqa: E402


def conv_net() -> SpikingNet:
    config = NetConfig((1, 1), weight_frac=3, threshold=0.75)
    hidden = lif(config)
    first = quant_conv(2, 3, 3, 4, 3, padding=1)
    second = torch.nn.Sequential(torch.nn.MaxPool2d(2), quant_conv(3, 4, 3, 4, 3))
    third = torch.nn.Sequential(torch.nn.Flatten(), quant_linear(16, 5, 4, 3))
    learn = ("theta", "bias")
    return SpikingNet(
        Block(first, SpikingLayer(hidden, learn=learn, features=3)),
        Block(second, SpikingLayer(hidden, learn=learn, features=4)),
        Block(third, SpikingLayer(lif(config, "membrane"))),
    )


def vary(net: SpikingNet) -> SpikingNet:
    """Give every learned vector values of its own."""
    torch.manual_seed(8)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "p_" in name:
                p += torch.randint(-4, 5, p.shape)
    return net


def dense(**change: Any) -> tuple[SpikingNet, tuple[int, ...]]:
    torch.manual_seed(7)
    return vary(dense_net(NetConfig((7, 6, 4), weight_frac=3, **change))), (7,)


NETS = {
    "dense": (dense, "latency", "membrane"),
    "spikes counted": (lambda: dense(output="spikes", threshold=0.5), "rate", "count"),
    "first spike": (lambda: dense(output="spikes", threshold=0.5), "rate", "first_spike"),
    "constant input": (lambda: dense(input_frac=3), "direct", "membrane"),
    "membranes added": (dense, "latency", "membrane_sum"),
    "smoothed": (lambda: dense(output="spikes", threshold=0.5), "rate", "bessel_last"),
    "smoothed membranes": (dense, "rate", "bessel"),
}


@pytest.mark.parametrize("kind", sorted(NETS))
def test_the_file_computes_what_pytorch_recorded(kind: str) -> None:
    make, encoder, readout = NETS[kind]
    net, shape = make()
    encoding = Encoding(encoder, 5, bits=3)
    x = encoding(np.random.default_rng(3).random((12, *shape)))
    sections = design(2, 0.3, 12, 4) if "bessel" in readout else None
    exported = export_spiking(net, shape, encoding, readout, sections=sections)
    golden = record_spiking(net, exported, encoding, readout, x, np.zeros(12), random_frames=9)
    imported = import_qonnx(exported.scan)
    graph = with_states(imported.graph)
    found = boundaries(graph, imported.tensor_names, imported.tensor_axes)
    assert {b.tensor for b in found} == set(golden.test)
    assert len(found) == 2 + 2 * len(net.blocks) + (readout == "bessel_last")
    for floats, recorded in ((golden.test_x, golden.test), (golden.random_x, golden.random)):
        ours = run(graph, {imported.graph.inputs[0]: floats}, keep=[b.value.name for b in found])
        for b in found:
            wanted, mine = b.codes(recorded[b.tensor]), ours[b.value.name]
            if isinstance(b.value.format, Real):
                mine = b.codes(mine)
            assert np.array_equal(mine.reshape(len(floats), -1), wanted), b.tensor
    spikes = golden.random["layer0"]
    assert 0.02 < (spikes != 0).mean() < 0.9


ENCODINGS = {
    "rate": Encoding("rate", 5, bits=3),
    "latency": Encoding("latency", 5, bits=3),
    "direct": Encoding("direct", 5, bits=3),
    "signed direct": Encoding("direct", 5, bits=12, signed=True),
    "binary": Encoding("binary", 5, bits=2),
    "ternary": Encoding("ternary", 5, bits=3, signed=True),
    "bitwise": Encoding("bitwise", 5, bits=5),
    "delta": Encoding("delta", 5, bits=12, low=900),
    "signed delta": Encoding("delta", 5, bits=4, low=2, signed=True),
}


@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_file_that_encodes_computes_what_pytorch_recorded(kind: str) -> None:
    """Numbers in; the encoder of the file makes the very steps that the network was trained on."""
    encoding, rng = ENCODINGS[kind], np.random.default_rng(3)
    net, shape = dense(**({"input_frac": encoding.frac} if encoding.frac else {}))
    if encoding.kind == "delta":
        torch.manual_seed(7)
        net, shape = vary(dense_net(NetConfig((14, 6, 4), weight_frac=3))), (5, 7)
    x = rng.random((12, *shape)).astype(np.float32)
    x = 2 * x - 1 if encoding.signed else x
    x[0], x[1], x[2] = 3.0, -3.0, 0.0  # the first two saturate
    given = (14,) if encoding.kind == "delta" else shape
    exported = export_spiking(net, given, encoding, "membrane", encodes=True)
    golden = record_spiking(net, exported, encoding, "membrane", x, np.zeros(12), random_frames=9)
    imported = import_qonnx(exported.scan)
    graph = with_states(imported.graph)
    places = {t: n for n, t in imported.tensor_names.items()}
    assert {"x_encoded", "x_q", "layer0"} <= set(golden.test) <= set(places)
    for floats, recorded in ((golden.test_x, golden.test), (golden.random_x, golden.random)):
        assert floats.shape[1:] == shape
        names = [places[t] for t in recorded]
        ours = run(graph, {imported.graph.inputs[0]: floats}, keep=names)
        for tensor, wanted in recorded.items():
            format = graph.values[places[tensor]].format
            mine = format.decode(ours[places[tensor]])
            assert np.array_equal(mine.reshape(len(floats), -1), wanted.reshape(len(floats), -1))
        assert recorded["x_encoded"].any()


def test_events_have_no_encoder_in_the_file() -> None:
    net, shape = dense()
    with pytest.raises(UsageError, match="'events' inputs are not encoded in the circuit"):
        export_spiking(net, shape, Encoding("events", 5), "membrane", encodes=True)


def test_the_two_forms_are_one_network() -> None:
    net, shape = dense()
    exported = export_spiking(net, shape, Encoding("latency", 5), "membrane")
    assert to_step(exported.scan).graph == exported.step.graph
    neurons = neurons_of(exported.step)
    for index, block in enumerate(net.blocks):
        one, two = neurons[f"layer{index}"].neuron, block.neuron.neuron()
        assert isinstance(one, Lif)
        assert np.array_equal(one.theta, two.theta) and np.array_equal(one.bias, two.bias)
        assert one.word == two.word
    assert [s.name for s in states_of(exported.step.graph)] == ["layer0.v", "layer1.v"]


def test_recurrent_weights_close_their_loop() -> None:
    """Executed step by step with the integer model and plain matrices."""
    net, shape = dense(recurrent=True)
    exported = export_spiking(net, shape, Encoding("rate", 6), "membrane")
    names = {s.name: s.after for s in states_of(exported.step.graph)}
    assert names["layer0.y"] == "layer0.y_next"
    x = (np.random.default_rng(0).random((5, 6, 7)) < 0.5).astype(np.float32)
    wanted = net(torch.from_numpy(x)).detach().numpy()
    block = net.blocks[0]
    w, r = (m.quant_weight().value.detach().numpy() for m in (block.synapse, block.recurrent))
    model, out = block.neuron.neuron(), net.blocks[1].neuron.neuron()
    last, seen = np.zeros((5, 6)), []
    states, ends = model.begin((5, 6)), out.begin((5, 4))
    for t in range(6):
        current = ((x[:, t] @ w.T + last @ r.T) * 2**model.input_frac).astype(np.int64)
        last, states = model.step((current,), states)
        head = last @ net.blocks[1].synapse.quant_weight().value.detach().numpy().T
        y, ends = out.step(((head * 2**out.input_frac).astype(np.int64),), ends)
        seen.append(y * 2.0**-out.word.frac)
    assert np.array_equal(np.stack(seen, 1), wanted)


def test_convolutions_and_pooling_are_integers() -> None:
    """Every layer against the integer model on exact sums, and the whole exported."""
    torch.manual_seed(7)
    net = vary(conv_net())
    encoding = Encoding("rate", 5)
    x = torch.from_numpy(encoding(np.random.default_rng(3).random((6, 2, 8, 8))))
    exported = export_spiking(net, (2, 8, 8), encoding, "membrane")
    ops = [node.op_type for node in exported.step.graph.node]
    assert ops.count("Conv") == 2 and ops.count("MaxPool") == 1 and ops.count("Lif") == 3
    golden = record_spiking(net, exported, encoding, "membrane", x.numpy(), np.zeros(6))
    given = x
    for index, block in enumerate(net.blocks):
        model = block.neuron.neuron()
        current = block.current(given.flatten(0, 1)).unflatten(0, (6, 5)).double()
        codes = (current * 2**model.input_frac).detach().numpy()
        assert np.array_equal(codes, np.rint(codes))
        last = np.moveaxis(codes, 2, -1).astype(np.int64)
        out, states = model.run(last.reshape(6, 5, -1))
        name = f"layer{index}" if index < 2 else "layer2_step"
        out = np.moveaxis(out.reshape(last.shape), -1, 2) * block.neuron.gain
        assert np.array_equal(golden.test[name], out)
        kept = golden.test[f"layer{index}.v_next_step"] * 2.0**model.word.frac
        assert np.array_equal(np.moveaxis(kept, 2, -1).reshape(6, 5, -1), states["v"])
        assert 0 < (out != 0).mean() < 1
        given = torch.from_numpy(out.astype(np.float32))


def test_weights_finer_than_the_neurons_input_are_refused() -> None:
    net, shape = dense()
    net.blocks[1].synapse = quant_linear(6, 4, 4, 5)
    with pytest.raises(UnsupportedModel, match="layer 'layer1': its currents have 5 fraction bits"):
        export_spiking(net, shape, Encoding("latency", 5), "membrane")


def test_a_scale_that_is_no_power_of_two_is_refused() -> None:
    qnn = pytest.importorskip("brevitas.nn")
    net, shape = dense()
    net.blocks[0].synapse = qnn.QuantLinear(7, 6, bias=False)
    with pytest.raises(UnsupportedModel, match="no power of two"):
        export_spiking(net, shape, Encoding("latency", 5), "membrane")


def test_a_readout_without_a_word_in_the_format_is_refused() -> None:
    net, shape = dense()
    with pytest.raises(UsageError, match="readout 'vote' has no place"):
        export_spiking(net, shape, Encoding("latency", 5), "vote")
