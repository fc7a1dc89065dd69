"""A network of layers with real parameters as an exchange model of integers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto

from codesign.errors import UnsupportedModel
from codesign.exchange import Metadata, StepBuilder, to_scan
from codesign.exchange.domain import LIMIT
from codesign.frontend.names import Names, printable
from codesign.frontend.spiking.grid import extra_bits
from codesign.frontend.spiking.hold import Change, Holder
from codesign.frontend.spiking.layers import (
    INPUT,
    Chosen,
    Conv,
    DelayLine,
    Dense,
    Flatten,
    Layer,
    MaxPool,
    Network,
    Neurons,
    Scaled,
    Shape,
    WindowSum,
)
from codesign.frontend.spiking.order import ordered
from codesign.frontend.spiking.policy import Formats
from codesign.frontend.spiking.shapes import output_shape

QONNX = "qonnx.custom_op.general"


@dataclass(frozen=True)
class SpikingModel:
    """``step``: the one-step exchange model. ``changes``: parameters that were rounded.
    ``warnings``: what the source says that the model does not, in sentences."""

    step: ModelProto
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]

    @property
    def scan(self) -> ModelProto:
        """The same as a Scan over the steps of a window."""
        return to_scan(self.step)


@dataclass(frozen=True)
class Wire:
    """A tensor: its shape without batch; codes ``lo..hi`` worth ``2**-frac``."""

    name: str
    shape: Shape
    frac: int
    lo: int
    hi: int


def build(network: Network, formats: Formats, metadata: Metadata) -> SpikingModel:
    """``network`` in the formats given, as an exchange model with a batch of one.

    Raises :class:`UnsupportedModel` where a parameter does not fit, shapes do not match, or a sum
    could leave the 24 bits that the exchange format's float32 holds exactly.
    """
    holder = Holder(formats.parameters == "nearest")
    model = _Builder(network, formats, holder).run(metadata)
    return SpikingModel(model, tuple(holder.changes), tuple(network.warnings))


class _Builder:
    def __init__(self, network: Network, formats: Formats, holder: Holder) -> None:
        self._net, self._formats, self._hold = network, formats, holder
        self._step = StepBuilder("spiking", (1, *network.input_shape))
        names = Names({"x", "spiking"})
        self._names = {name: names.unique(name) for name in network.layers}
        self._wires: dict[str, Wire] = {}
        self._late: dict[str, Wire] = {}
        self._order = ordered(network)  # first, for what it says of loops without delay
        self._extra = extra_bits(network, formats.input.frac, formats.weights.frac)

    def run(self, metadata: Metadata) -> ModelProto:
        self._wires[INPUT] = self._quantized_input()
        order = self._order
        shapes = self._shapes(order)
        for name, layer in self._net.layers.items():
            if isinstance(layer, DelayLine):
                self._wires[name] = self._declare_line(layer, shapes[name])
        for name in order:
            layer = self._net.layers[name]
            given = self._sum(name)
            if isinstance(layer, DelayLine):
                self._close_line(layer, given)
            else:
                self._wires[name] = self._layer(layer, given)
        for source, late in self._late.items():
            self._step.node("Identity", [self._wires[source].name], f"{late.name}_next")
        out = self._wires[self._net.output]
        return self._step.model(out.name, (1, *out.shape), metadata)

    # --- what a layer reads

    def _quantized_input(self) -> Wire:
        form = self._formats.input
        lo = -(1 << (form.bits - 1)) if form.signed else 0
        hi = (1 << (form.bits - form.signed)) - 1
        name = self._quant("input", "x", form.frac, form.bits, form.signed)
        return Wire(name, self._net.input_shape, form.frac, lo, hi)

    def _quant(self, name: str, source: str, frac: int, bits: int, signed: bool) -> str:
        constants = {"scale": 2.0**-frac, "zero": 0.0, "bits": float(bits)}
        inputs = [self._step.constant(f"{name}.{k}", np.float32(v)) for k, v in constants.items()]
        return self._step.node(
            "Quant",
            [source, *inputs],
            f"{name}.codes",
            QONNX,
            signed=int(signed),
            narrow=0,
            rounding_mode="ROUND",
        )

    def _sum(self, name: str) -> Wire:
        """All that arrives at a layer, on one grid."""
        sources = [s for s, target in self._net.edges if target == name]
        wires = [self._read(s, (s, name) in self._net.delayed) for s in sources]
        if not wires:
            hint = "connect it, or remove it"
            raise UnsupportedModel("nothing arrives here", where=printable(name), hint=hint)
        total = wires[0]
        for index, wire in enumerate(wires[1:]):
            if wire.shape != total.shape:
                what = f"values of {total.shape} and {wire.shape} are added"
                raise UnsupportedModel(what, where=printable(name), hint="make them alike")
            assert wire.frac == total.frac, "extra_bits makes them alike"
            sum_name = self._step.node(
                "Add", [total.name, wire.name], f"{self._names[name]}.sum{index}"
            )
            total = self._wire(
                name, sum_name, total.shape, total.frac, total.lo + wire.lo, total.hi + wire.hi
            )
        return total

    def _read(self, source: str, late: bool) -> Wire:
        if not late:
            return self._wires[source]
        if source not in self._late:
            neurons = self._net.layers[source]
            if not isinstance(neurons, Neurons):
                what = "only what neurons put out can arrive one step later"
                raise UnsupportedModel(what, where=printable(source), hint="use a delay")
            shape = self._shape_of[source]
            name = self._step.state(f"{self._names[source]}.last", (1, *shape))
            self._late[source] = Wire(name, shape, *_range(neurons))
        return self._late[source]

    # --- delays

    def _declare_line(self, layer: DelayLine, shape: Shape) -> Wire:
        """Its stages are states of the graph; the last is what comes out."""
        name = self._names[layer.name]
        for stage in range(layer.steps):
            self._step.state(f"{name}.d{stage}", (1, *shape))
        frac, lo, hi = self._range_before(layer.name)
        return Wire(f"{name}.d{layer.steps - 1}", shape, frac, lo, hi)

    def _close_line(self, layer: DelayLine, given: Wire) -> None:
        name = self._names[layer.name]
        stages = [given.name, *(f"{name}.d{stage}" for stage in range(layer.steps))]
        for stage in range(layer.steps):
            self._step.node("Identity", [stages[stage]], f"{name}.d{stage}_next")
        held = self._wires[layer.name]
        if (given.frac, given.lo, given.hi) != (held.frac, held.lo, held.hi):
            what = "a delay of sums within a loop"
            raise UnsupportedModel(what, where=printable(layer.name), hint="delay the spikes")

    def _range_before(self, name: str) -> tuple[int, int, int]:
        """Grid and range of what one input of a delay line puts out, known before it is built."""
        source = next(s for s, target in self._net.edges if target == name)
        layer = self._net.layers.get(source)
        if source == INPUT:
            wire = self._wires[INPUT]
            return wire.frac, wire.lo, wire.hi
        if isinstance(layer, Neurons):
            return _range(layer)
        if isinstance(layer, Flatten | MaxPool | DelayLine):
            return self._range_before(source)
        hint = "put the delay before the weights, on the spikes: it is shorter, and the same"
        raise UnsupportedModel("a delay of weighted sums", where=printable(name), hint=hint)

    # --- shapes

    def _shapes(self, order: list[str]) -> dict[str, Shape]:
        """Shape of what each layer puts out, delay lines and loops included."""
        shapes: dict[str, Shape] = {INPUT: self._net.input_shape}
        sources = {t: [s for s, u in self._net.edges if u == t] for t in self._net.layers}
        todo = list(self._net.layers)
        while todo:
            known = [n for n in todo if any(s in shapes for s in sources[n])]
            if not known:
                what = f"nothing reaches {', '.join(map(printable, todo[:6]))}"
                raise UnsupportedModel(what, where=self._net.name, hint="connect it to the input")
            for name in known:
                first = next(s for s in sources[name] if s in shapes)
                shapes[name] = output_shape(self._net.layers[name], shapes[first])
                todo.remove(name)
        self._shape_of = shapes
        return shapes

    # --- layers

    def _layer(self, layer: Layer, x: Wire) -> Wire:
        shape = output_shape(layer, x.shape)
        name = self._names[layer.name]
        if isinstance(layer, Neurons):
            return self._neurons(layer, x)
        if isinstance(layer, Dense):
            codes, weights = self._weights(layer.name, layer.weight.T)
            out = self._step.node("MatMul", [x.name, weights], f"{name}.out")
            return self._affine(layer.name, out, shape, x, codes.T, layer.bias, 0)
        if isinstance(layer, Conv):
            codes, weights = self._weights(layer.name, layer.weight)
            out = self._conv(layer, name, x, weights)
            flat = codes.reshape(len(codes), -1)
            return self._affine(layer.name, out, shape, x, flat, layer.bias, len(shape) - 1)
        if isinstance(layer, WindowSum):
            return self._window_sum(layer, x, shape)
        if isinstance(layer, Scaled):
            return self._scaled(layer, x)
        if isinstance(layer, Chosen):
            return self._each(layer, x, layer.keep.astype(np.int64), 0)
        if isinstance(layer, MaxPool):
            pads = [*layer.padding, *layer.padding]
            out = self._step.node(
                "MaxPool",
                [x.name],
                f"{name}.out",
                kernel_shape=list(layer.kernel),
                strides=list(layer.stride),
                pads=pads,
            )
            return Wire(out, shape, x.frac, x.lo, x.hi)
        assert isinstance(layer, Flatten)
        out = self._reshape(name, x.name, shape)
        return Wire(out, shape, x.frac, x.lo, x.hi)

    def _reshape(self, name: str, source: str, shape: Shape) -> str:
        target = self._step.constant(f"{name}.shape", np.array([-1, *shape]))
        return self._step.node("Reshape", [source, target], f"{name}.out")

    def _weights(self, layer: str, weight: np.ndarray) -> tuple[np.ndarray, str]:
        """Codes int64, and the name of the quantized constant."""
        form, half = self._formats.weights, 1 << (self._formats.weights.bits - 1)
        codes = self._hold.codes(weight, form.frac, -half, half - 1, "weight", printable(layer))
        finer = self._extra.get(layer, 0)
        name, codes = f"{self._names[layer]}.weight", codes << finer
        return codes, self._constant(name, codes, form.frac + finer, form.bits + finer)

    def _constant(self, name: str, codes: np.ndarray, frac: int, bits: int) -> str:
        values = self._step.constant(name, np.ldexp(codes.astype(np.float32), -frac))
        return self._quant(name, values, frac, bits, True)

    def _conv(self, layer: Conv, name: str, x: Wire, weights: str) -> str:
        pads = [p for p, _ in layer.padding] + [p for _, p in layer.padding]
        return self._step.node(
            "Conv",
            [x.name, weights],
            f"{name}.out",
            kernel_shape=list(layer.weight.shape[2:]),
            strides=list(layer.stride),
            pads=pads,
            dilations=list(layer.dilation),
            group=layer.groups,
        )

    def _affine(
        self,
        layer: str,
        out: str,
        shape: Shape,
        x: Wire,
        codes: np.ndarray,
        bias: np.ndarray | None,
        trailing: int,
    ) -> Wire:
        """Add a bias [out] to sums with weight codes [out, ...], and say what they can be."""
        frac = x.frac + self._formats.weights.frac + self._extra.get(layer, 0)
        up, down = np.maximum(codes, 0).sum(1), np.minimum(codes, 0).sum(1)
        # a window at the border may see any part of its weights: 0 is always among the values
        lo, hi = np.minimum(up * x.lo + down * x.hi, 0), np.maximum(up * x.hi + down * x.lo, 0)
        if bias is not None and np.any(bias):
            held = self._hold.codes(bias, frac, -LIMIT, LIMIT, "bias", printable(layer))
            name = f"{self._names[layer]}.bias"
            bits = max(int(np.abs(held).max()).bit_length() + 1, 2)
            spread = held.reshape(-1, *[1] * trailing)
            added = self._constant(name, spread, frac, bits)
            out = self._step.node("Add", [out, added], f"{self._names[layer]}.biased")
            lo, hi = lo + held, hi + held
        return self._wire(layer, out, shape, frac, int(lo.min()), int(hi.max()))

    def _wire(self, layer: str, name: str, shape: Shape, frac: int, lo: int, hi: int) -> Wire:
        if max(-lo, hi) > LIMIT:
            raise UnsupportedModel(
                f"a sum may reach {max(-lo, hi)} steps of 2^-{frac}, more than 2^24",
                where=printable(layer),
                hint="use fewer weight or input bits: float32 holds 24 bits exactly",
            )
        return Wire(name, shape, frac, lo, hi)

    def _depthwise(self, name: str, x: Wire, codes: np.ndarray, frac: int, layer: Conv) -> str:
        bits = max(int(np.abs(codes).max()).bit_length() + 1, 2)
        weights = self._constant(f"{name}.weight", codes, frac, bits)
        return self._conv(layer, name, x, weights)

    def _window_sum(self, layer: WindowSum, x: Wire, shape: Shape) -> Wire:
        """A depthwise convolution with ones, or one power of two."""
        channels, name = x.shape[0], self._names[layer.name]
        ones = np.ones((channels, 1, *layer.kernel), np.int64)
        pads = tuple((p, p) for p in layer.padding)
        conv = Conv(name, ones, None, layer.stride, pads, (1,) * len(layer.kernel), channels)
        out = self._depthwise(name, x, ones, layer.shift, conv)
        taps = prod(layer.kernel)
        lo, hi = min(x.lo * taps, 0), max(x.hi * taps, 0)
        return self._wire(layer.name, out, shape, x.frac + layer.shift, lo, hi)

    def _scaled(self, layer: Scaled, x: Wire) -> Wire:
        form, half = self._formats.weights, 1 << (self._formats.weights.bits - 1)
        factor = np.broadcast_to(layer.factor, x.shape[:1])
        where = printable(layer.name)
        codes = self._hold.codes(factor, form.frac, -half, half - 1, "factor", where)
        finer = self._extra.get(layer.name, 0)
        return self._each(layer, x, codes << finer, form.frac + finer)

    def _each(self, layer: Scaled | Chosen, x: Wire, codes: np.ndarray, frac: int) -> Wire:
        """Each channel times its own code: a depthwise convolution with a kernel of one."""
        name, axes = self._names[layer.name], max(len(x.shape) - 1, 1)
        source = x
        if len(x.shape) == 1:
            spread = self._reshape(f"{name}.wide", x.name, (*x.shape, 1))
            source = Wire(spread, (*x.shape, 1), x.frac, x.lo, x.hi)
        kernel = codes.reshape(-1, 1, *[1] * axes)
        one = (1,) * axes
        conv = Conv(name, kernel, None, one, ((0, 0),) * axes, one, x.shape[0])
        out = self._depthwise(name, source, kernel, frac, conv)
        if len(x.shape) == 1:
            out = self._reshape(f"{name}.flat", out, x.shape)
        ends = np.outer(codes, [x.lo, x.hi])
        return self._wire(layer.name, out, x.shape, x.frac + frac, int(ends.min()), int(ends.max()))

    def _neurons(self, layer: Neurons, x: Wire) -> Wire:
        name, trailing = self._names[layer.name], len(x.shape) - 1
        model = layer.model(x.frac, self._hold)
        if x.shape[0] % model.channels:
            what = f"{model.channels} parameters for {x.shape[0]} channels"
            raise UnsupportedModel(what, where=printable(layer.name), hint="one for each, or one")
        out = self._step.neuron(model, name, x.name, (1, *x.shape), trailing=trailing)
        return Wire(out, x.shape, *_range(layer))


def _range(layer: Neurons) -> tuple[int, int, int]:
    """Fraction bits, smallest and largest code of what neurons put out."""
    return layer.out.frac, layer.out.lo, layer.most
