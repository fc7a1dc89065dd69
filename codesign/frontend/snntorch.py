"""Networks of snnTorch 1.0.0: layers in order, each cell with its own semantics.

What snnTorch computes with real numbers, the exchange model computes in the formats given: a
leak's product is rounded as ``formats.leak`` says, then the (exact) current is added. Where every
product fits the formats, both are equal at every step; a ``state_quant`` that rounds down does
the same as "mul_floor".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.exchange import Metadata
from codesign.frontend.names import printable
from codesign.frontend.spiking import (
    Conv,
    Dense,
    Flatten,
    Formats,
    Holder,
    Layer,
    MaxPool,
    Network,
    Neurons,
    Scaled,
    SpikingModel,
    WindowSum,
    build,
)
from codesign.frontend.spiking.layers import INPUT, Shape, per_channel
from codesign.frontend.spiking.lif import Parts, spikes_word
from codesign.frontend.spiking.shapes import output_shape
from codesign.neurons import Alpha, Neuron
from codesign.neurons.presets import KEEPS_INPUT, snntorch

#: Modules that do nothing once trained.
NOTHING = ("Identity", "Dropout", "Dropout1d", "Dropout2d")


def import_snntorch(
    module: Any,
    formats: Formats,
    time: Metadata,
    *,
    input_shape: Shape,
    layers: Sequence[str] | None = None,
) -> SpikingModel:
    """``module`` as an exchange model in ``formats``.

    ``module``: an ``nn.Sequential`` (which may nest) of Linear, Conv1d, Conv2d, pools, Flatten
    and snnTorch cells, with plain or Brevitas-quantized weights; or any module, whose
    ``layers`` are then named in the order its ``forward`` calls them. ``input_shape``: of one
    step, without batch. ``time.readout`` "membrane" or "membrane_sum": the last cell puts out its
    membrane.

    Raises :class:`UsageError` for a module without order, :class:`UnsupportedModel` naming the
    layer and what of it has no meaning here or does not fit.
    """
    network = _Converter(formats, time.readout.startswith("membrane")).run(
        list(_layers_of(module, layers)), tuple(input_shape)
    )
    return build(network, formats, time)


def _layers_of(module: Any, layers: Sequence[str] | None) -> Iterator[tuple[str, Any]]:
    from torch import nn

    if layers is not None:
        found = dict(module.named_modules())
        for name in layers:
            if name not in found:
                known = ", ".join(printable(n) for n in list(found)[1:13])
                raise UsageError(
                    f"the module has no layer '{printable(name)}'", hint=f"it has {known or 'none'}"
                )
            yield name, found[name]
        return
    if not isinstance(module, nn.Sequential):
        raise UsageError(
            f"{type(module).__name__} is no nn.Sequential: its order of layers is not known",
            hint="name them in the order of forward(): layers=['fc1', 'lif1', ...]",
        )
    for name, child in module._modules.items():  # named_children() skips what stands there twice
        own = f"{type(child).__name__.lower()}_{name}" if name.isdigit() else name
        if isinstance(child, nn.Sequential):
            yield from ((f"{own}.{inner}", layer) for inner, layer in _layers_of(child, None))
        else:
            yield own, child


class _Converter:
    def __init__(self, formats: Formats, membrane: bool) -> None:
        self._formats, self._membrane = formats, membrane
        self._layers: dict[str, Layer] = {}
        self._edges: list[tuple[str, str]] = []
        self._delayed: set[tuple[str, str]] = set()

    def run(self, modules: list[tuple[str, Any]], shape: Shape) -> Network:
        input_shape, last = shape, INPUT
        cells = [name for name, m in modules if type(m).__name__ in (*KEEPS_INPUT, "Alpha")]
        if self._membrane and not cells:
            hint = "add a cell, or let time.readout be count"
            raise UsageError("a membrane is to be read, but there is no cell", hint=hint)
        used: set[int] = set()
        for name, module in modules:
            if type(module).__name__ in NOTHING:
                continue
            again = name in cells and id(module) in used
            used.add(id(module))
            if name in self._layers or again:
                hint = "use a cell of its own for each layer: its states are its own"
                raise UnsupportedModel("it is used twice", where=printable(name), hint=hint)
            reads_membrane = self._membrane and name == cells[-1:][0]
            layer = self._convert(name, module, shape, reads_membrane)
            shape = output_shape(layer, shape)
            self._layers[name] = layer
            self._edges.append((last, name))
            self._recurrence(name, module, shape)
            last = name
        if not self._layers:
            raise UsageError("the module has no layers", hint="give a network")
        if self._membrane and last != cells[-1]:
            what = "a membrane is to be read, but its cell is not the last layer"
            raise UnsupportedModel(what, where=printable(last), hint="end in the cell")
        edges, delayed = tuple(self._edges), frozenset(self._delayed)
        return Network("snntorch", input_shape, self._layers, edges, delayed, last)

    def _convert(self, name: str, module: Any, shape: Shape, membrane: bool) -> Layer:
        from torch import nn

        kind = type(module).__name__
        if kind in KEEPS_INPUT:
            return self._cell(name, kind, module, shape, membrane)
        if kind == "Alpha":
            return self._alpha(name, module, shape, membrane)
        if isinstance(module, nn.Linear):
            weight = _weight(name, module)
            return Dense(name, weight, _array(module.bias))
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            return _conv(name, module)
        if isinstance(module, nn.Flatten):
            return _flatten(name, module, shape)
        if isinstance(module, nn.AvgPool2d | nn.AvgPool1d | nn.MaxPool2d | nn.MaxPool1d):
            return _pool(name, module)
        cells = ", ".join((*KEEPS_INPUT, "Alpha"))
        hint = f"layers: Linear, Conv1d, Conv2d, AvgPool, MaxPool, Flatten; cells: {cells}"
        raise UnsupportedModel(f"a layer {printable(kind)}", where=printable(name), hint=hint)

    def _cell(self, name: str, kind: str, cell: Any, shape: Shape, membrane: bool) -> Neurons:
        where = printable(name)
        _check_cell(cell, where)

        def parameter(values: Any) -> np.ndarray:
            return per_channel(_array(values), shape, where)

        # snnTorch clamps its decays whenever it uses them
        beta = np.clip(parameter(cell.beta), 0, 1)
        theta = parameter(cell.threshold)
        alpha = np.clip(parameter(cell.alpha), 0, 1) if kind.endswith("Synaptic") else None

        def make(input_frac: int, holder: Holder) -> Neuron:
            parts = Parts(self._formats, holder, where)
            try:
                model = snntorch(
                    kind,
                    parts.word(),
                    parts.leak(beta),
                    parts.codes(theta, "threshold", wide=True),
                    reset=cell.reset_mechanism,
                    reset_delay=bool(cell.reset_delay),
                    input_frac=input_frac,
                    rounding=self._formats.rounding,
                    synapse=None if alpha is None else parts.synapse(alpha),
                )
            except ValueError as reason:
                hint = "change the cell or the formats"
                raise UnsupportedModel(str(reason), where=where, hint=hint) from None
            return replace(model, output="membrane") if membrane else model

        out = Parts(self._formats, Holder(True), where).word() if membrane else spikes_word(1)
        return Neurons(name, make, out, out.hi if membrane else 1)

    def _alpha(self, name: str, cell: Any, shape: Shape, membrane: bool) -> Neurons:
        """``tau`` is no number a format holds, but for a few pairs of decays (1/2 and 1/4: 2)."""
        where = printable(name)
        _check_cell(cell, where)
        alpha, beta, theta = (
            per_channel(_array(p), shape, where) for p in (cell.alpha, cell.beta, cell.threshold)
        )
        alpha, beta = np.broadcast_arrays(alpha, beta)
        if not ((alpha > beta) & (beta > 0) & (alpha < 1)).all():
            hint = "give 0 < beta < alpha < 1"
            raise UnsupportedModel("decays of which none is the faster", where=where, hint=hint)
        tau = np.log(alpha) / (np.log(beta) - np.log(alpha)) + 1

        def make(input_frac: int, holder: Holder) -> Neuron:
            parts = Parts(self._formats, holder, where)
            synapse, rise = parts.synapse(alpha)
            gain_frac = max(self._formats.leak.frac, 1)
            gain = holder.codes(tau, gain_frac, 0, (1 << 16) - 1, "tau", where)
            try:
                return Alpha(
                    parts.word(),
                    synapse,
                    rise,
                    parts.synapse(beta)[1],
                    gain,
                    gain_frac,
                    parts.codes(theta, "threshold", wide=True),
                    compare="gt",
                    reset=cell.reset_mechanism,
                    input_frac=input_frac,
                    rounding=self._formats.rounding,
                    gain_rounding="floor",
                    output="membrane" if membrane else "spikes",
                )
            except ValueError as reason:
                hint = "change the cell or the formats"
                raise UnsupportedModel(str(reason), where=where, hint=hint) from None

        out = Parts(self._formats, Holder(True), where).word() if membrane else spikes_word(1)
        return Neurons(name, make, out, out.hi if membrane else 1)

    def _recurrence(self, name: str, cell: Any, shape: Shape) -> None:
        """A recurrent cell's own weights, which see the spikes of the step before."""
        from torch import nn

        if type(cell).__name__ not in ("RLeaky", "RSynaptic"):
            return
        own, inner = f"{name}.recurrent", cell.recurrent
        if isinstance(inner, nn.Linear):
            self._layers[own] = Dense(own, _weight(own, inner), _array(inner.bias))
        elif isinstance(inner, nn.Conv2d):
            self._layers[own] = _conv(own, inner)
        else:
            factor = per_channel(_array(inner.V), shape, printable(own))
            self._layers[own] = Scaled(own, factor)
        self._edges += [(name, own), (own, name)]
        self._delayed.add((name, own))


def _check_cell(cell: Any, where: str) -> None:
    """What a cell may do beyond the equations, each of which changes them."""
    if cell.inhibition:
        hint = "train without inhibition: it compares all neurons of a layer"
        raise UnsupportedModel("inhibition", where=where, hint=hint)
    if cell.state_quant:
        hint = "remove it (state_quant=False): the formats say how states are quantized"
        raise UnsupportedModel("a state_quant of its own", where=where, hint=hint)
    factor = _array(cell.graded_spikes_factor)
    if not (factor == 1).all():
        hint = "multiply the weights of the next layer by it, and set it to 1"
        what = f"graded_spikes_factor {factor.ravel()[0]:.9g}"
        raise UnsupportedModel(what, where=where, hint=hint)


def _array(values: Any) -> Any:
    """float64 of a tensor, a number or None."""
    if values is None:
        return None
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, np.float64)


def _weight(name: str, module: Any) -> np.ndarray:
    """The weights the layer multiplies with: those of Brevitas' quantizer where it has one."""
    for quantizer in ("input_quant", "output_quant", "bias_quant"):
        if getattr(getattr(module, quantizer, None), "is_quant_enabled", False):
            what = f"a Brevitas layer with {quantizer}"
            hint = "quantize the weights only: spikes are integers, sums are exact"
            raise UnsupportedModel(what, where=printable(name), hint=hint)
    proxy = getattr(module, "weight_quant", None)
    if proxy is not None and proxy.is_quant_enabled:
        return np.asarray(_array(module.quant_weight().value))
    return np.asarray(_array(module.weight))


def _conv(name: str, module: Any) -> Conv:
    where = printable(name)
    if module.padding_mode != "zeros":
        hint = "pad with zeros"
        raise UnsupportedModel(f"padding_mode '{module.padding_mode}'", where=where, hint=hint)
    weight = _weight(name, module)
    sizes = weight.shape[2:]
    if module.padding == "same":
        whole = [d * (k - 1) for d, k in zip(module.dilation, sizes, strict=True)]
        padding = tuple((n // 2, n - n // 2) for n in whole)
    elif module.padding == "valid":
        padding = ((0, 0),) * len(sizes)
    else:
        padding = tuple((p, p) for p in module.padding)
    stride, dilation = tuple(module.stride), tuple(module.dilation)
    return Conv(name, weight, _array(module.bias), stride, padding, dilation, module.groups)


def _flatten(name: str, module: Any, shape: Shape) -> Flatten:
    """torch counts the batch as axis 0."""
    first, last = (d + len(shape) + 1 if d < 0 else d for d in (module.start_dim, module.end_dim))
    if first < 1:
        hint = "start_dim=1"
        raise UnsupportedModel("it flattens the batch", where=printable(name), hint=hint)
    return Flatten(name, first - 1, last - 1)


def _pool(name: str, module: Any) -> WindowSum | MaxPool:
    where, axes = printable(name), 2 if type(module).__name__.endswith("2d") else 1

    def sizes(value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, tuple | list) else (int(value),) * axes

    kernel, stride, padding = (
        sizes(getattr(module, n)) for n in ("kernel_size", "stride", "padding")
    )
    if module.ceil_mode:
        raise UnsupportedModel("ceil_mode", where=where, hint="use ceil_mode=False")
    if "Max" in type(module).__name__:
        if set(sizes(module.dilation)) != {1}:
            raise UnsupportedModel("a dilated pool", where=where, hint="use dilation=1")
        return MaxPool(name, kernel, stride, padding)
    if any(padding) and not module.count_include_pad:
        hint = "use count_include_pad=True: averages of fewer taps have other steps"
        raise UnsupportedModel("count_include_pad=False", where=where, hint=hint)
    taps = getattr(module, "divisor_override", None) or prod(kernel)
    if taps & (taps - 1):
        hint = "use windows of 1, 2, 4, 8... elements, or a sum"
        raise UnsupportedModel(f"an average of {taps} elements", where=where, hint=hint)
    return WindowSum(name, kernel, stride, padding, taps.bit_length() - 1)
