"""From one step of a recurrent network to all its steps.

The body of a Scan is imported on values of one step; lifted, each operation works on values whose
first axis are the steps, and does the same in every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from codesign.errors import UnsupportedModel
from codesign.ir import Elementwise, Op, Value
from codesign.ops.chain import constants_of
from codesign.ops.combine import Combine
from codesign.ops.concat import Concat
from codesign.ops.conv import Conv
from codesign.ops.dense import Dense
from codesign.ops.join import Join
from codesign.ops.max_pool import MaxPool
from codesign.ops.neuron import Neuron
from codesign.ops.on_grid import OnGrid
from codesign.ops.quantizer import Quantizer
from codesign.ops.rearrange import Rearrange
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.reshape import Reshape
from codesign.ops.sum_pool import SumPool


def lift(op: Op, ins: list[Value], steps: int) -> Op:
    """``op``, which reads ``ins`` (one step), for ``steps`` steps at once.

    ``UnsupportedModel`` for an operation that cannot work on several steps side by side.
    """
    for kind, rule in _RULES.items():
        if type(op) is kind:
            return rule(op, ins, steps)
    if isinstance(op, Elementwise | Quantizer):
        rank = len(ins[0].shape)
        if any(c.ndim > rank for c in constants_of(op)):
            raise UnsupportedModel("its constants have more axes than the value of one step")
        return op
    raise UnsupportedModel(
        f"operation '{op.kind}' is not supported inside a Scan",
        hint="supported there: dense layers, convolutions, pools, element-wise operations, "
        "quantizers, Concat, and what moves elements; do the rest before or after the Scan",
    )


def _same(op: Op, ins: list[Value], steps: int) -> Op:
    return op


def _concat(op: Any, ins: list[Value], steps: int) -> Op:
    return Concat(op.axis + 1)


def _reshape(op: Any, ins: list[Value], steps: int) -> Op:
    return replace(op, shape=(steps, *op.shape))


def _rearrange(op: Any, ins: list[Value], steps: int) -> Op:
    moved: Rearrange = op.each_step(steps, ins[0].elements)
    return moved


def _stepped(op: Any, ins: list[Value], steps: int) -> Op:
    return replace(op, steps=steps)


_RULES: dict[type[Op], Callable[[Any, list[Value], int], Op]] = {
    Combine: _same,
    Concat: _concat,
    Conv: _stepped,
    Dense: _same,
    Join: _same,
    MaxPool: _stepped,
    Neuron: _stepped,
    OnGrid: _same,
    Rearrange: _rearrange,
    Reinterpret: _reshape,
    Reshape: _reshape,
    SumPool: _stepped,
}
