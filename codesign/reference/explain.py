"""Explain a difference between another execution's floats and exact sums, or call it a mismatch.

Contract 4: sums of products are exact on codes. PyTorch and onnxruntime add float32 products in
an order of their own, and their transcendental functions differ in the last place, so a result
may land on the other side of a decision threshold. Such a difference is explained only if the
other code appears within the float32 error bound: of a sum (Higham, Accuracy and Stability of
Numerical Algorithms, section 4.2), of batch norm's two roundings, and two units in the last place
of a transcendental function. It is counted and reported, never hidden.

The bounds are propagated as intervals [low, exact, high] through the model's own float32 steps,
from the codes that the other execution had.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Elementwise, Graph, Node, Value
from codesign.ops.add import Add
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.combine import Combine
from codesign.ops.concat import Concat
from codesign.ops.conv import Conv
from codesign.ops.dense import Dense
from codesign.ops.dynamic_matmul import DynamicMatMul
from codesign.ops.max_pool import MaxPool
from codesign.ops.neuron import Neuron
from codesign.ops.normalize import Normalize
from codesign.ops.quantizer import Quantizer
from codesign.ops.rearrange import Rearrange
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.reshape import Reshape
from codesign.ops.softmax import Softmax
from codesign.ops.sum_pool import SumPool
from codesign.ops.unary import ULPS
from codesign.reference.boundaries import values_of
from codesign.reference.explain_attention import (
    normalize_interval,
    product_interval,
    softmax_interval,
)

UNIT = 2.0**-24  # unit roundoff of float32
Interval = list[np.ndarray]  # low, exact, high: float32 [n, *shape] each
FRAMES_AT_ONCE = 256
_MOVES = (Rearrange, Reshape, Concat, MaxPool)


class Explainer:
    """Decides, for one tensor of the model-level graph, which other codes are explained.

    The tensor is a quantizer's output, or a value computed in float whose codes mean what
    :meth:`~codesign.reference.boundaries.Boundary.codes` says of ``shown`` (the value in the graph
    that was lowered; by default, in this one). ``sources``: the values whose codes it is
    computed from.
    """

    def __init__(self, graph: Graph, name: str, shown: Value | None = None) -> None:
        self._graph = graph
        self._shown = shown or graph.values[name]
        node = graph.producer(name)
        while node is not None and isinstance(node.op, Reinterpret):
            node = graph.producer(node.inputs[0])  # the same codes
        self._quant = node.op if node is not None and isinstance(node.op, Quantizer) else None
        self._start = node.inputs[0] if node is not None and self._quant is not None else name
        self.sources: tuple[str, ...] = ()
        self._needed: set[str] = set()
        found: set[str] = set()
        if self._collect(self._start, found):
            self.sources = tuple(sorted(found))

    def _collect(self, name: str, found: set[str]) -> bool:
        """The quantized values behind ``name``; False where something cannot be bounded."""
        if name not in self._graph.values:  # a state of neurons: exact, or a mismatch
            return False
        node = self._graph.producer(name)
        self._needed.add(name)
        given = node is None and not isinstance(self._graph.values[name].format, Real)
        # What a loop carries was quantized in the step before.
        fixed = (Quantizer, Neuron)
        if given or (node is not None and (node.op.delays or isinstance(node.op, fixed))):
            found.add(name)
            return True
        vectors = (DynamicMatMul, Softmax, Normalize)
        bounded = (Elementwise, Combine, Dense, Conv, SumPool, *vectors, *_MOVES)
        if node is None or not isinstance(node.op, bounded):
            return False
        bounds = [self._collect(i, found) for i in node.inputs]
        return all(bounds)

    def explains(self, codes: Mapping[str, np.ndarray], other: np.ndarray) -> np.ndarray:
        """Whether each code of ``other`` [n, elements] lies within the error bounds, bool.

        ``codes``: of every source, int64 [n, elements]: the same frames.
        """
        if not self.sources:
            return np.zeros(other.shape, dtype=bool)
        parts = []
        for start in range(0, len(other), FRAMES_AT_ONCE):
            cut = slice(start, start + FRAMES_AT_ONCE)
            found = self._results({name: codes[name][cut] for name in self.sources})
            ends = [array.reshape(array.shape[0], -1) for array in found]
            part = other[cut]
            value = part if self._quant is not None else values_of(self._shown, part)
            low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
            parts.append((low <= value) & (value <= high))
        return np.concatenate(parts)

    def _results(self, codes: Mapping[str, np.ndarray]) -> Interval:
        """What the tensor may hold: codes, or float32 values without a quantizer."""
        exact: dict[str, np.ndarray] = {}
        for name in self.sources:
            exact[name] = codes[name].reshape(-1, *self._graph.values[name].shape)
        done: dict[str, Interval] = {}
        for node in self._graph.nodes:
            ready = all(i in exact or i in done for i in node.inputs)
            if ready and node.output in self._needed and node.output not in exact:
                self._step(node, exact, done)
        found = done.get(self._start) or self._decoded(self._start, exact)
        if self._quant is None:
            return found
        return [self._quant.evaluate(array) for array in found]

    def _step(self, node: Node, exact: dict[str, np.ndarray], done: dict[str, Interval]) -> None:
        """Codes that are exact in every execution stay codes, everything else is an interval."""
        ins, op = self._graph.ins(node), node.op
        integers = all(i in exact for i in node.inputs)
        if isinstance(op, _MOVES) and integers:
            exact[node.output] = op.execute(ins, *(exact[i] for i in node.inputs))
        elif isinstance(op, Dense | Conv | SumPool) and integers:
            done[node.output] = self._sum(node, exact[node.inputs[0]])
        elif isinstance(op, DynamicMatMul) and integers:
            codes = [exact[i] for i in node.inputs]
            done[node.output] = product_interval(op, ins, self._graph.out(node), codes[0], codes[1])
        elif isinstance(op, Softmax | Normalize):
            (name,) = node.inputs
            x = done.get(name) or self._decoded(name, exact)
            if isinstance(op, Softmax):
                done[node.output] = softmax_interval(op, x)
            else:
                done[node.output] = normalize_interval(op, x)
        elif isinstance(op, Elementwise | Combine | Rearrange | Reshape | Concat | MaxPool):
            given = [done.get(i) or self._decoded(i, exact) for i in node.inputs]
            done[node.output] = _float_step(node, ins, given)

    def _decoded(self, name: str, exact: Mapping[str, np.ndarray]) -> Interval:
        return [self._graph.values[name].format.decode(exact[name])] * 3

    def _sum(self, node: Node, x: np.ndarray) -> Interval:
        """An exact sum and how far float32 additions in any order may lead from it."""
        op, source, out = node.op, self._graph.ins(node)[0], self._graph.out(node)
        assert isinstance(source.format, ScaledInt) and isinstance(out.format, ScaledInt)
        value = op.execute([source], x)
        reach = max(source.format.hi, 0) - min(source.format.lo, 0) + abs(source.format.zero_point)
        plain = replace(source.format, low=-reach, high=reach, zero_point=0)
        size = np.abs(x - source.format.zero_point)
        if isinstance(op, SumPool):
            count = op.geometry(source).taps
            absolute: SumPool | Dense | Conv = op
        else:
            assert isinstance(op, Dense | Conv)
            count = int(np.prod(op.weights.shape[1:]))
            absolute = replace(op, weights=np.abs(op.weights))
        scale = np.asarray(out.format.scale)
        most = absolute.execute([Value("", source.shape, plain)], size) * scale
        exact = value * scale
        error = (count + 8) * UNIT * (most + np.abs(exact) + self._bias(node))
        return [(exact + d).astype(np.float32) for d in (-error, 0.0, error)]

    def _bias(self, node: Node) -> np.ndarray | float:
        """The bias of the layer, which another execution may add first."""
        readers = self._graph.consumers(node.output)
        adds = [np.abs(n.op.value) for n in readers if isinstance(n.op, Add)]
        return adds[0].astype(np.float64) if adds else 0.0


def _float_step(node: Node, ins: list[Value], given: list[Interval]) -> Interval:
    op = node.op
    if isinstance(op, Combine):
        corners = [op.evaluate(*corner) for corner in itertools.product(*given)]
        exact = op.evaluate(*(ends[1] for ends in given))
        return [np.minimum.reduce(corners), exact, np.maximum.reduce(corners)]
    if not isinstance(op, Elementwise):
        floats = [Value(v.name, v.shape, Real()) for v in ins]
        return [op.execute(floats, *(g[k] for g in given)) for k in range(3)]
    low, exact, high = given[0]
    points = [op.evaluate(x) for x in (low, exact, high)]
    # A function that turns does so at zero, if at all, in an interval this narrow.
    crosses = (low < 0) & (high > 0)
    if crosses.any() and not op.direction().all():
        points.append(op.evaluate(np.where(crosses, np.float32(0), exact)))
    ends = np.minimum.reduce(points), np.maximum.reduce(points)
    if isinstance(op, BatchNorm):
        alpha = op.alpha().astype(np.float64)
        size = np.abs(exact * alpha) + np.abs(op.mean * alpha) + np.abs(op.beta)
        error = 6 * UNIT * size
        low, exact, high = ends[0] - error, points[1], ends[1] + error
        return [np.asarray(e, dtype=np.float32) for e in (low, exact, high)]
    if getattr(op, "exact", True):
        return [ends[0], points[1], ends[1]]
    return [_ulps(ends[0], -np.inf), points[1], _ulps(ends[1], np.inf)]


def _ulps(x: np.ndarray, towards: float) -> np.ndarray:
    for _ in range(ULPS):
        x = np.nextafter(x, np.float32(towards))
    return x
