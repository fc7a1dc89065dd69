"""Small spiking networks in the exchange format."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from onnx import ModelProto

from codesign.exchange import Metadata, StepBuilder, to_scan, with_decoder, with_encoder
from codesign.neurons import Leak, Lif, Neuron, Word
from codesign.spikes.bessel import Bessel, Sections
from codesign.spikes.coders import Encoder

QONNX = "qonnx.custom_op.general"


def lif(**changes: Any) -> Lif:
    """A leaky neuron with 6 fraction bits; ``changes`` replace its choices."""
    choices: dict[str, Any] = {
        "word": Word(12, 6, True, "sat_step"),
        "leak": Leak("mul_floor", [58], 6),
        "theta": [64],
        "compare": "gt",
        "reset": "subtract",
        "reset_timing": "next",
        "reset_vs_leak": "after",
        "reset_vs_input": "before",
        "input_frac": 6,
        "rounding": "exact",
        "spike_levels": 1,
        "refractory": 0,
        "refractory_mode": "silent",
        "output": "spikes",
    }
    return Lif(**{**choices, **changes})


class Network(StepBuilder):
    """A one-step network with quantizers as Brevitas writes them."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        super().__init__("net", [1, *shape])
        self.rng = np.random.default_rng(seed)

    def quant(self, source: str, out: str, frac: int, bits: int, *, signed: bool = True) -> str:
        """A quantizer with scale ``2**-frac``."""
        numbers = [np.float32(2.0**-frac), np.float32(0), np.float32(bits)]
        names = [self.constant(f"{out}_{k}", n) for k, n in zip("szb", numbers, strict=True)]
        return self.node(
            "Quant", [source, *names], out, QONNX,
            signed=int(signed), narrow=0, rounding_mode="ROUND",
        )  # fmt: skip

    def dense(
        self, source: str, sizes: tuple[int, int], out: str, *, frac: int, bits: int = 4
    ) -> str:
        """A matrix product with random weights of ``bits`` bits."""
        spread = 2.0 ** (bits - 2 - frac)
        weights = self.constant(f"{out}_w", self.rng.normal(0, spread, sizes).astype(np.float32))
        return self.node("MatMul", [source, self.quant(weights, f"{out}_wq", frac, bits)], out)

    def conv(
        self,
        source: str,
        shape: tuple[int, ...],
        out: str,
        outputs: int,
        kernel: int,
        pads: int,
        *,
        group: int = 1,
        frac: int = 4,
    ) -> tuple[str, tuple[int, ...]]:
        """A convolution with random weights and a bias, and the shape of what it makes."""
        axes = len(shape) - 1
        sizes = (outputs, shape[0] // group, *[kernel] * axes)
        weights = self.rng.normal(0, 2.0 ** (2 - frac), sizes).astype(np.float32)
        codes = self.quant(self.constant(f"{out}_w", weights), f"{out}_wq", frac, 4)
        steps = self.rng.integers(-12, 13, outputs) * 2.0**-6
        made = self.node(
            "Conv", [source, codes, self.constant(f"{out}_b", steps.astype(np.float32))], out,
            kernel_shape=[kernel] * axes, pads=[pads] * axes * 2, group=group,
        )  # fmt: skip
        return made, (outputs, *(n + 2 * pads - kernel + 1 for n in shape[1:]))

    def spiking(self, source: str, shape: tuple[int, ...], name: str, **changes: Any) -> str:
        """:func:`lif` neurons of ``shape`` (C, ...), with a threshold of each channel's own."""
        model = lif(theta=[int(t) for t in self.rng.integers(40, 90, shape[0])], **changes)
        return self.neuron(model, name, source, (1, *shape), trailing=len(shape) - 1)

    def bias(self, source: str, size: int, out: str, *, frac: int) -> str:
        """A constant of whole steps added."""
        steps = self.rng.integers(-12, 13, size) * 2.0**-frac
        return self.node("Add", [source, self.constant(f"{out}_b", steps.astype(np.float32))], out)


def finished(
    network: Network, out: str, shape: tuple[int, ...], steps: int, **changes: Any
) -> ModelProto:
    """The Scan form."""
    known: dict[str, Any] = {"encoding": "direct", "readout": "count", "reset_at_window": True}
    metadata = Metadata(steps=steps, dt=1e-3, **{**known, **changes})
    return to_scan(network.model(out, (1, *shape), metadata))


def dense_network(
    sizes: tuple[int, ...] = (6, 5, 3),
    steps: int = 7,
    metadata: dict[str, Any] | None = None,
    **changes: Any,
) -> ModelProto:
    """Dense layers of :func:`lif` neurons, biases in the first; the input has 2 fraction bits."""
    net = Network(sizes[:1])
    at = net.quant("x", "xq", 2, 4)
    for k, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        frac = 4 if k == 0 else 6
        at = net.dense(at, (fan_in, fan_out), f"fc{k}", frac=frac)
        if k == 0:
            at = net.bias(at, fan_out, f"bias{k}", frac=6)
        at = net.neuron(lif(**changes), f"lif{k}", at, (1, fan_out))
    return finished(net, at, sizes[-1:], steps, **(metadata or {}))


def conv_network(
    shape: tuple[int, ...] = (1, 4, 4),
    channels: int = 2,
    steps: int = 3,
    *,
    kernel: int = 3,
    pads: int = 1,
    again: bool = False,
    depthwise: bool = False,
    pool: str = "MaxPool",
    outputs: int = 3,
    **changes: Any,
) -> ModelProto:
    """Convolution, neurons with a threshold per channel (``again``: both twice; ``depthwise``: the
    second one is), pool, and a dense layer of neurons.
    ``shape``: (C, H, W) or (C, L) of a step; ``pool``: the operator ("" for none)."""
    net, axes = Network(shape), len(shape) - 1
    at = net.quant("x", "xq", 2, 4)
    at, size = net.conv(at, shape, "conv", channels, kernel, pads)
    at = net.spiking(at, size, "lif0", **changes)
    if again or depthwise:
        group = size[0] if depthwise else 1
        at, size = net.conv(at, size, "each", size[0], kernel, pads, group=group, frac=6)
        at = net.spiking(at, size, "lif1", **changes)
    before = prod(size)
    if pool.startswith("Global"):
        at, size = net.node(pool, [at], "pool"), (size[0], *[1] * axes)
    elif pool:
        window = {"kernel_shape": [2] * axes, "strides": [2] * axes}
        at = net.node(pool, [at], "pool", **window)
        size = (size[0], *(n // 2 for n in size[1:]))
    at = net.node("Flatten", [at], "flat", axis=1)
    # A mean over 2^n elements has n fraction bits more than what it is taken of.
    finer = (before // prod(size)).bit_length() - 1 if "Average" in pool else 0
    at = net.dense(at, (prod(size), outputs), "fc", frac=6 - finer)
    return finished(net, net.neuron(lif(**changes), "out", at, (1, outputs)), (outputs,), steps)


def recurrent_conv_network(
    shape: tuple[int, ...] = (1, 4, 4), steps: int = 3, metadata: dict[str, Any] | None = None
) -> ModelProto:
    """Neurons whose spikes come back through a convolution in the next step."""
    net = Network(shape)
    drive, size = net.conv(net.quant("x", "xq", 2, 4), shape, "drive", 2, 3, 1)
    seen = net.state("seen", (1, *size))
    back, _ = net.conv(seen, size, "back", 2, 3, 1, frac=6)
    spikes = net.spiking(net.node("Add", [drive, back], "total"), size, "lif0")
    net.node("Identity", [spikes], "seen_next")
    flat = net.node("Flatten", [spikes], "flat", axis=1)
    out = net.neuron(lif(), "out", net.dense(flat, (prod(size), 3), "fc", frac=6), (1, 3))
    return finished(net, out, (3,), steps, **(metadata or {}))


def recurrent_network(
    size: int = 4, steps: int = 6, metadata: dict[str, Any] | None = None, **changes: Any
) -> ModelProto:
    """A layer whose spikes come back through weights of their own in the next step."""
    net = Network((3,))
    drive = net.dense(net.quant("x", "xq", 2, 4), (3, size), "fc", frac=4)
    back = net.dense(net.state("seen", (1, size)), (size, size), "again", frac=6)
    total = net.node("Add", [drive, back], "total")
    spikes = net.neuron(lif(**changes), "lif", total, (1, size))
    net.node("Identity", [spikes], "seen_next")
    return finished(net, spikes, (size,), steps, **(metadata or {}))


def delayed_network(
    size: int = 4, steps: int = 3, metadata: dict[str, Any] | None = None
) -> ModelProto:
    """Spikes that reach the next layer at once and, through other weights, two steps later."""
    net = Network((3,))
    first = net.dense(net.quant("x", "xq", 2, 4), (3, size), "fc0", frac=4)
    spikes = net.neuron(lif(), "lif0", first, (1, size))
    seen = [net.state(name, (1, size)) for name in ("seen", "before")]
    net.node("Identity", [spikes], "seen_next")
    net.node("Identity", [seen[0]], "before_next")
    parts = [(spikes, "now"), (seen[1], "late")]
    sums = [net.dense(source, (size, 3), name, frac=6) for source, name in parts]
    out = net.neuron(lif(), "lif1", net.node("Add", sums, "total"), (1, 3))
    return finished(net, out, (3,), steps, **(metadata or {}))


def event_network(
    sizes: tuple[int, ...] = (24, 12, 6), steps: int = 5, bits: int = 5, **changes: Any
) -> ModelProto:
    """Dense layers between spikes: the input is 0 or 1."""
    net = Network(sizes[:1])
    at = net.quant("x", "xq", 0, 1, signed=False)
    for k, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        at = net.dense(at, (fan_in, fan_out), f"fc{k}", frac=6, bits=bits)
        at = net.neuron(lif(**changes), f"lif{k}", at, (1, fan_out))
    return finished(net, at, sizes[-1:], steps)


def pooled_network(
    pool: str,
    where: str,
    *,
    shape: tuple[int, ...] = (2, 4, 4),
    window: int = 2,
    stride: int = 2,
    pads: int = 0,
    depthwise: bool = False,
    twice: bool = False,
    **changes: Any,
) -> ModelProto:
    """Spikes of 0 and 1 through a convolution of :func:`lif` neurons and a dense layer; pooling
    ``before`` the convolution or ``behind`` it, ``twice`` in a row."""
    net, size = Network(shape), shape
    at, finer = net.quant("x", "xq", 0, 1, signed=False), 0

    def reduced(at: str, size: tuple[int, ...], name: str) -> tuple[str, tuple[int, ...]]:
        how = {"kernel_shape": [window] * 2, "strides": [stride] * 2, "pads": [pads] * 4}
        across = tuple((n + 2 * pads - window) // stride + 1 for n in size[1:])
        return net.node(pool, [at], name, **how), (size[0], *across)

    def pools(at: str, size: tuple[int, ...]) -> tuple[str, tuple[int, ...], int]:
        for n in range(1 + twice):
            at, size = reduced(at, size, f"pool{n}")
        return at, size, (1 + twice) * 2 * (pool == "AveragePool")

    if where == "before":
        at, size, finer = pools(at, size)
    group, outputs = (size[0], size[0]) if depthwise else (1, 3)
    at, size = net.conv(at, size, "conv", outputs, 3, 1, group=group, frac=6 - finer)
    at, finer = net.spiking(at, size, "lif0", **changes), 0
    if where == "behind":
        at, size, finer = pools(at, size)
    at = net.node("Flatten", [at], "flat", axis=1)
    at = net.dense(at, (prod(size), 3), "fc", frac=6 - finer)
    return finished(net, net.neuron(lif(), "out", at, (1, 3)), (3,), 3)


def encoded_network(
    encoder: Encoder,
    sizes: tuple[int, ...] = (6, 5, 3),
    *,
    inside: bool = True,
    metadata: dict[str, Any] | None = None,
    **changes: Any,
) -> ModelProto:
    """Dense layers of :func:`lif` neurons behind ``encoder``, which is left out, and the steps
    are the input, unless ``inside``."""
    first = encoder.out_shape(encoder.in_shape(sizes[0]))[1:]
    net = Network(first)
    at, signed = net.input, encoder.out_span[0] < 0
    bits = encoder.bits if encoder.out_frac or encoder.kind == "direct" else 1 + signed
    at = net.quant(at, "xq", encoder.out_frac, bits, signed=signed)
    for k, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
        frac = 6 - encoder.out_frac if k == 0 else 6
        at = net.dense(at, (fan_in, fan_out), f"fc{k}", frac=frac, bits=6)
        at = net.neuron(lif(**{"theta": [12], **changes}), f"lif{k}", at, (1, fan_out))
    known = {"encoding": encoder.kind, **(metadata or {})}
    scan = finished(net, at, sizes[-1:], encoder.steps, **known)
    return with_encoder(scan, encoder) if inside else scan


def smoothed_network(
    sections: Sections,
    readout: str = "bessel_last",
    steps: int = 7,
    sizes: tuple[int, ...] = (6, 5, 3),
    **changes: Any,
) -> ModelProto:
    """:func:`dense_network` whose outputs, spikes or membranes, go through a Bessel low-pass."""
    model = dense_network(sizes, steps, {"readout": readout}, **changes)
    neuron = lif(**changes)
    word = neuron.out
    return with_decoder(model, Bessel(steps, word.bits, word.frac, word.signed, sections))


def smoothed_maps(sections: Sections, readout: str = "bessel", steps: int = 4) -> ModelProto:
    """Neurons behind a convolution, every pixel and channel of which is smoothed."""
    net = Network((2, 4, 3))
    at, size = net.conv(net.quant("x", "xq", 2, 4), (2, 4, 3), "conv", 3, 3, 1)
    model = finished(net, net.spiking(at, size, "lif0"), size, steps, readout=readout)
    return with_decoder(model, Bessel(steps, 1, 0, False, sections))


def unit_network(model: Neuron, size: int = 4, steps: int = 5) -> ModelProto:
    """Neurons of any model, each of their inputs from a layer of its own; the last input sees
    what they put out in the step before."""
    net = Network((3,))
    x, inputs = net.quant("x", "xq", 0, 3), []
    for k, frac in enumerate(model.input_fracs):
        again = 0 < k == len(model.input_fracs) - 1
        source = net.state("seen", (1, size)) if again else x
        weight_frac = frac - model.out.frac if again else frac
        fan_in = size if again else 3
        inputs.append(net.dense(source, (fan_in, size), f"to_{model.inputs[k]}", frac=weight_frac))
    out = net.neuron(model, "unit", inputs, (1, size))
    if len(inputs) > 1:
        net.node("Identity", [out], "seen_next")
    return finished(net, out, (size,), steps)
