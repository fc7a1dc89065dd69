"""Lower convolutions to circuits: zero points become a bias; padding that no window has, a pad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.frontend.names import Names
from codesign.ir import Graph, Node, Value
from codesign.ops.conv import Conv
from codesign.ops.convolve import Convolve
from codesign.ops.geometry import Geometry
from codesign.ops.max_pool import MaxPool
from codesign.ops.rearrange import Rearrange
from codesign.ops.sum_pool import SumPool
from codesign.ops.weight_range import LoadableWeights, weight_range
from codesign.passes.base import Pass

Pads = tuple[int, int, int, int]


class LowerConv(Pass):
    """``Conv`` on codes -> :class:`Convolve`, with the input's zero point as a constant.

    A sliding window pads by itself as far as its kernel reaches over; what a convolution or pool
    pads beyond becomes a :class:`Rearrange` in front of it.
    """

    name = "lower-conv"

    def call(self, graph: Graph) -> Graph:
        nodes: list[Node] = []
        values: dict[str, Value] = dict(graph.values)
        names = Names([*values, *(node.name for node in graph.nodes)])
        for node in graph.nodes:
            if isinstance(node.op, Conv):
                op = _lower(node.op, values[node.inputs[0]])
                node = Node(node.name, op, node.inputs, node.outputs)
            for step in _pad_first(node, values, names):
                nodes.append(step)
                if len(step.outputs) == 1:  # formats may widen: padding is data now
                    shape, format = step.op.infer(*(values[n] for n in step.inputs))
                    values[step.output] = Value(step.output, shape, format)
        return graph.with_nodes(nodes, values.values())


def _lower(op: Conv, source: Value) -> Convolve:
    format = source.format
    assert isinstance(format, ScaledInt)
    bias = -format.zero_point * op.weights.reshape(len(op.weights), -1).sum(axis=1)
    scale = np.atleast_1d(op.weight_scale).astype(np.float64) * np.float64(format.scale[0])
    loadable = None
    if op.loadable:
        loadable = LoadableWeights(*weight_range(op.weights, op.limits), format.zero_point)
    return Convolve(
        op.weights,
        bias,
        scale,
        op.strides,
        op.dilations,
        op.pads,
        op.groups,
        pad_code=format.zero_point,
        loadable=loadable,
        steps=op.steps,
    )


def _pad_first(node: Node, values: dict[str, Value], names: Names) -> list[Node]:
    """``node``, after a pad where it needs one."""
    op = node.op
    if not isinstance(op, Convolve | MaxPool | SumPool):
        return [node]
    x = values[node.inputs[0]]
    g = op.geometry(x)
    kept, extra = split_pads(g)
    if not any(extra) or isinstance(x.format, Real):
        return [node]
    wide = Value(names.unique(f"{node.output}_padded"), (), x.format)
    pad = Node(names.unique(f"{node.name}_pad"), _pad(op, x, g, extra), node.inputs, (wide.name,))
    return [pad, Node(node.name, replace(op, pads=kept), (wide.name,), node.outputs)]


def split_pads(g: Geometry) -> tuple[Pads, Pads]:
    """(what the window pads, what must be padded before it)."""
    top, left = min(g.pads[0], g.reach[0]), min(g.pads[1], g.reach[1])
    bottom = min(g.pads[2], g.reach[0] - top)
    right = min(g.pads[3], g.reach[1] - left)
    kept = (top, left, bottom, right)
    extra = tuple(a - b for a, b in zip(g.pads, kept, strict=True))
    return kept, (extra[0], extra[1], extra[2], extra[3])


def _pad(op: Convolve | MaxPool | SumPool, x: Value, g: Geometry, extra: Pads) -> Rearrange:
    """The index map that adds ``extra`` rows and columns that count nothing."""
    fill = 0.0
    if isinstance(op, MaxPool):
        least = np.unique(x.format.decode(np.full(x.shape[-1], x.format.lo)))
        if len(least) > 1:
            raise UnsupportedModel(
                f"max pooling pads {g.pads} around values with one scale per channel",
                hint="use a padding smaller than the kernel, or quantize per tensor",
            )
        fill = float(least[0])
    h, w = g.size
    index = np.arange(h * w * x.shape[-1]).reshape(h, w, x.shape[-1])
    top, left, bottom, right = extra
    index = np.pad(index, ((top, bottom), (left, right), (0, 0)), constant_values=-1)
    one = Rearrange(index if len(x.shape) - bool(op.steps) == 3 else index[0], fill)
    return one.each_step(op.steps, h * w * x.shape[-1]) if op.steps else one
