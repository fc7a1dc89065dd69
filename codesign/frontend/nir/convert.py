"""NIR graphs as networks of layers, and those as exchange models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.frontend.names import printable
from codesign.frontend.nir.delays import spread, steps_of
from codesign.frontend.nir.flat import Flat, flatten
from codesign.frontend.nir.loops import NEURONS, delayed_edges, leading_to
from codesign.frontend.nir.neurons import Stepped, neurons, stepped
from codesign.frontend.nir.policy import NirPolicy, check_policy, missing_policy
from codesign.frontend.nir.read import read_nir
from codesign.frontend.spiking import (
    Conv,
    DelayLine,
    Dense,
    Flatten,
    Layer,
    Network,
    Scaled,
    SpikingModel,
    WindowSum,
    build,
)
from codesign.frontend.spiking.layers import INPUT, Shape, per_channel
from codesign.frontend.spiking.shapes import output_shape


def import_nir(source: Any, policy: NirPolicy | None) -> SpikingModel:
    """A NIR file, or a ``nir.NIRGraph``, as an exchange model under ``policy``.

    Raises :class:`UsageError` without a policy (listing the presets) or for a malformed file,
    :class:`UnsupportedModel` naming a node that has no meaning in hardware, or a parameter that
    the formats cannot hold.
    """
    if policy is None:
        raise missing_policy()
    check_policy(policy)
    graph = read_nir(source) if isinstance(source, str | Path) else source
    return build(_Converter(flatten(graph), policy).run(), policy.formats, policy.time)


class _Converter:
    def __init__(self, flat: Flat, policy: NirPolicy) -> None:
        self._flat, self._policy = flat, policy
        self._layers: dict[str, Layer] = {}
        self._gains: dict[str, np.ndarray] = {}
        self._spread: dict[str, np.ndarray] = {}
        self._warnings: list[str] = []

    def run(self) -> Network:
        flat = self._flat
        delayed = delayed_edges(flat)
        sources: dict[str, list[str]] = {name: [] for name in flat.nodes}
        for source, target in flat.edges:
            if target in sources:
                sources[target].append(INPUT if source == flat.input else source)
        self._convert_all(sources)
        results = [s for s, target in flat.edges if target == flat.output]
        if len(results) != 1 or results[0] not in self._layers:
            what = f"the output is fed by {len(results)} nodes"
            if results == [flat.input]:
                what = "the output is the input: no layer stands between"
            raise UnsupportedModel(what, where="NIR graph", hint="let one layer feed the output")
        self._warnings += _idle(flat)
        edges = [(s, t) for t, given in sources.items() for s in given]
        edges, delayed = self._apply_gains(edges, delayed)
        for name, steps in self._spread.items():
            if name == results[0]:
                hint = "let neurons feed the output"
                raise UnsupportedModel("different delays before the output", where=name, hint=hint)
            edges = spread(self._layers, edges, name, steps)
        return Network(
            "NIR graph", flat.shape, self._layers, tuple(edges), delayed, results[0],
            self._warnings,
        )  # fmt: skip

    def _convert_all(self, sources: dict[str, list[str]]) -> None:
        shapes: dict[str, Shape] = {INPUT: self._flat.shape}
        todo = list(self._flat.nodes)
        while todo:
            ready = [n for n in todo if any(s in shapes for s in sources[n])]
            if not ready:
                what = f"nothing reaches {', '.join(map(printable, todo[:6]))}"
                raise UnsupportedModel(what, where="NIR graph", hint="connect it to the input")
            for name in ready:
                shape = next(shapes[s] for s in sources[name] if s in shapes)
                layer = self._layer(name, self._flat.nodes[name], shape)
                self._layers[name] = layer
                shapes[name] = output_shape(layer, shape)
                todo.remove(name)

    def _layer(self, name: str, node: Any, shape: Shape) -> Layer:
        kind = type(node).__name__
        where = f"node '{printable(name)}' ({kind})"
        if kind in NEURONS:
            return self._neurons(name, node, shape)
        if kind in ("Affine", "Linear"):
            weight = np.asarray(node.weight, np.float64)
            if weight.ndim != 2:
                hint = "flatten first: hardware multiplies vectors by matrices"
                what = f"weights of shape {weight.shape}"
                raise UnsupportedModel(what, where=where, hint=hint)
            bias = np.asarray(node.bias, np.float64) if kind == "Affine" else None
            return Dense(name, weight, bias)
        if kind in ("Conv1d", "Conv2d"):
            return _conv(name, node, where)
        if kind in ("SumPool2d", "AvgPool2d"):
            return self._pool(name, node, where)
        if kind == "Flatten":
            return self._flatten(name, node, len(shape))
        if kind == "Scale":
            return Scaled(name, per_channel(np.asarray(node.scale), shape, where))
        if kind == "Delay":
            steps = steps_of(node, shape, self._policy.time.dt, where)
            if len(steps) > 1:
                self._spread[name] = steps
            return DelayLine(name, int(steps.max()))
        hint = "remove it, or replace it by what a chip can hold (docs/SPIKING.md)"
        raise UnsupportedModel(f"a primitive {printable(kind)}", where=where, hint=hint)

    def _neurons(self, name: str, node: Any, shape: Shape) -> Layer:
        at = stepped(name, node, shape, self._policy)
        if (at.gain == 1).all():
            return neurons(name, node, at, self._policy)
        if self._policy.gain == "threshold" and at.theta is not None:
            if not (at.gain > 0).all():
                where = f"node '{printable(name)}'"
                hint = "use gain = 'weights'"
                raise UnsupportedModel("a gain that is not positive", where=where, hint=hint)
            at = Stepped(
                at.decay, np.ones(1), at.bias / at.gain, at.alpha,
                at.theta / at.gain, at.v_reset / at.gain,
            )  # fmt: skip
        else:
            self._gains[name] = at.gain
        return neurons(name, node, at, self._policy)

    def _apply_gains(
        self, edges: list[tuple[str, str]], delayed: frozenset[tuple[str, str]]
    ) -> tuple[list[tuple[str, str]], frozenset[tuple[str, str]]]:
        """Multiply gains into weights that only these neurons read; else a layer of factors."""
        late = set(delayed)
        for name, gain in self._gains.items():
            given = [s for s, target in edges if target == name]
            own = all(
                isinstance(self._layers.get(s), Dense | Conv)
                and [t for f, t in edges if f == s] == [name]
                for s in given
            )
            if own:
                for source in given:
                    self._layers[source] = _times(self._layers[source], gain)
                continue
            factor = f"{name}.gain"
            self._layers[factor] = Scaled(factor, gain)
            edges = [(s, factor) if t == name else (s, t) for s, t in edges] + [(factor, name)]
            late = {(s, factor) if t == name else (s, t) for s, t in late}
        return edges, frozenset(late)

    def _pool(self, name: str, node: Any, where: str) -> WindowSum:
        kernel, stride, padding = (
            _pair(getattr(node, n)) for n in ("kernel_size", "stride", "padding")
        )
        if type(node).__name__ == "SumPool2d":
            return WindowSum(name, kernel, stride, padding, 0)
        taps = kernel[0] * kernel[1]
        if taps & (taps - 1):
            hint = "use windows of 1, 2, 4, 8... elements, or SumPool2d"
            raise UnsupportedModel(f"an average of {taps} elements", where=where, hint=hint)
        if any(padding):
            self._warnings.append(f"{where}: padding counts as zeros in its averages")
        return WindowSum(name, kernel, stride, padding, taps.bit_length() - 1)

    def _flatten(self, name: str, node: Any, axes: int) -> Flatten:
        batch = self._policy.flatten == "torch"
        first, last = (
            d + axes if d < 0 else d - batch for d in (int(node.start_dim), int(node.end_dim))
        )
        return Flatten(name, first, last)


def _idle(flat: Flat) -> list[str]:
    """A warning for each node from which nothing reaches the output."""
    after: dict[str, list[str]] = {name: [] for name in (*flat.nodes, flat.input, flat.output)}
    for source, target in flat.edges:
        after[source].append(target)
    used = leading_to(flat.output, after)
    idle = [printable(name) for name in flat.nodes if name not in used]
    return [f"node '{name}' leads nowhere: the circuit is built without it" for name in idle]


def _times(layer: Layer, gain: np.ndarray) -> Layer:
    assert isinstance(layer, Dense | Conv)
    rows = gain.reshape(-1, *[1] * (layer.weight.ndim - 1))
    bias = None if layer.bias is None else layer.bias * gain
    return replace(layer, weight=layer.weight * rows, bias=bias)


def _conv(name: str, node: Any, where: str) -> Conv:
    weight = np.asarray(node.weight, np.float64)
    axes = weight.ndim - 2
    if axes != (1 if type(node).__name__ == "Conv1d" else 2):
        what = f"weights of shape {weight.shape}"
        raise UnsupportedModel(what, where=where, hint="(out, in / groups, kernel...)")
    stride, dilation = (_sizes(getattr(node, n), axes) for n in ("stride", "dilation"))
    if isinstance(node.padding, str):
        whole = [0] * axes
        if node.padding == "same":
            if set(stride) != {1}:
                hint = "give the padding in numbers"
                raise UnsupportedModel("padding 'same' with a stride", where=where, hint=hint)
            whole = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = tuple((n // 2, n - n // 2) for n in whole)
    else:
        padding = tuple((p, p) for p in _sizes(node.padding, axes))
    bias = None if node.bias is None else np.asarray(node.bias, np.float64)
    return Conv(name, weight, bias, stride, padding, dilation, int(node.groups))


def _sizes(value: Any, axes: int) -> tuple[int, ...]:
    found = np.ravel(np.asarray(value)).astype(int).tolist()
    return tuple(found * axes if len(found) == 1 else found)


def _pair(value: Any) -> tuple[int, ...]:
    return _sizes(value, 2)
