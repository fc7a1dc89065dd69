"""The readout of the first spike, as files say it: weights that fall along time, the maximum."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Context
from codesign.frontend.layout import Tensor
from codesign.ir import Value
from codesign.ops.first_spike import SPIKES, FirstSpike
from codesign.ops.mul import Mul


def first_spike(ctx: Context, node: NodeProto, x: Tensor, axes: set[int]) -> Value | None:
    """What the maximum ``node`` of ``x`` over the file's ``axes`` (batch not counted) says of
    spikes, without those axes; None where it says something else.

    It is the first spike's where ``x`` is spikes times ``T, T - 1, ..., 1`` along their first axis,
    the only one of ``axes``: exactly, as float32 holds these products.
    """
    graph = ctx.so_far()
    before = graph.producer(x.value.name)
    if [x.axes[a] for a in axes] != [0] or before is None or not isinstance(before.op, Mul):
        return None
    (spikes,), steps = graph.ins(before), x.value.shape[0]
    in_a_scan = ctx.input.name not in graph.values  # whose steps are not these
    if in_a_scan or x.rank < 2 or (spikes.format, spikes.shape) != (SPIKES, x.value.shape):
        return None
    left = np.arange(steps, 0, -1, dtype=np.float32).reshape(-1, *[1] * (x.rank - 1))
    if steps < 2 or not (np.broadcast_to(before.op.value, spikes.shape) == left).all():
        return None
    names = {name for name, tensor in ctx.tensors.items() if tensor.value.name == x.value.name}
    kept = names & {port.name for port in ctx.model.graph.output}
    if not kept and all(r == node for name in names for r in ctx.readers(name)):
        ctx.forget(before)
    return ctx.emit(node, FirstSpike(), [spikes])
