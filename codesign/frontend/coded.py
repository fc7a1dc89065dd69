"""Float values that are codes all the same: exact steps between a quantizer and a layer.

A Relu, a Clip at codes, a maximum or a mean of a power of two elements yields numbers that lie on
a grid, so the layer behind it needs no quantizer of its own: one that changes no value stands in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from codesign.errors import CodesignError
from codesign.formats import MAX_ACTIVATION_BITS, Real, ScaledInt
from codesign.frontend.context import Context
from codesign.frontend.layout import Tensor
from codesign.frontend.weights import require_codes
from codesign.ir import Op, Value
from codesign.ops.batchnorm import BatchNorm
from codesign.ops.chain import Chain, chain_to, over
from codesign.ops.concat import Concat
from codesign.ops.max_pool import MaxPool
from codesign.ops.quant import Quant
from codesign.ops.rearrange import Rearrange
from codesign.ops.reshape import Reshape

#: Codes of the origin, times distinct channels, that are looked at.
EVALUATIONS = 1 << 22
#: The grid may be finer than the origin's by so many bits.
FINER = 8


def coded(ctx: Context, node: NodeProto, x: Tensor, what: str) -> Tensor:
    """``x`` as integer codes of exactly its float32 values; ``UnsupportedModel``, naming ``what``
    reads it, where there are none."""
    value = _coded(ctx, node, x.value)
    if value is None:
        require_codes(ctx, node, x.value, what)
        raise AssertionError("float values are refused")
    return Tensor(value, x.axes)


def _coded(ctx: Context, node: NodeProto, value: Value) -> Value | None:
    if not isinstance(value.format, Real):
        return value
    key = ("codes", value.name)
    if key not in ctx.moved:
        made = _moved(ctx, node, value) or _on_grid(ctx, node, value)
        if made is None:
            return None
        ctx.moved[key] = made
    return ctx.moved[key]


def _moved(ctx: Context, node: NodeProto, value: Value) -> Value | None:
    """The move that made ``value``, of codes instead."""
    graph = ctx.so_far()
    source = graph.producer(value.name)
    if source is None or not isinstance(source.op, Rearrange | Reshape | Concat | MaxPool):
        return None
    inputs = [_coded(ctx, node, v) for v in graph.ins(source)]
    given = [v for v in inputs if v is not None]
    try:
        fits = len(given) == len(inputs) and not isinstance(source.op.infer(*given)[1], Real)
    except (CodesignError, ValueError):
        return None
    return ctx.emit(node, source.op, given, suffix="codes") if fits else None


def _on_grid(ctx: Context, node: NodeProto, value: Value) -> Value | None:
    """A quantizer behind ``value`` that changes no value it can have."""
    chain = chain_to(ctx.so_far(), value.name)
    if chain is None or not isinstance(chain.origin.format, ScaledInt):
        return None
    op = exact_quantizer(chain)
    return None if op is None else ctx.emit(node, op, [value], suffix="codes")


def exact_quantizer(chain: Chain) -> Quant | None:
    """The quantizer whose codes stand for exactly what ``chain`` (without one) yields on every
    code of its origin; None where its results lie on no grid of the origin's scales over 2^n."""
    if not all(_exact(step.op) for step in chain.steps):
        return None
    index, inverse = chain.classes()
    few = chain.pick(index)
    origin = few.origin.format
    assert isinstance(origin, ScaledInt)
    if (origin.hi - origin.lo + 1) * len(index) > EVALUATIONS:
        return None
    codes = np.arange(origin.lo, origin.hi + 1)[:, None].repeat(len(index), axis=1)
    values = few.evaluate(codes).astype(np.float64)
    if not np.isfinite(values).all():
        return None
    for bits in range(FINER + 1):
        grid = replace(origin, scale=tuple(s / 2**bits for s in origin.scale))
        op = _quantizer(grid, values)
        if op is not None:
            return _spread(op, chain, inverse)
    return None


def _exact(op: Op) -> bool:
    """Whether every float32 implementation computes the same bits."""
    return not isinstance(op, BatchNorm) and bool(getattr(op, "exact", True))


def _quantizer(grid: ScaledInt, values: np.ndarray) -> Quant | None:
    """The narrowest quantizer of ``grid``'s scale and zero point that keeps all ``values``."""
    codes = np.rint(values / np.asarray(grid.scale)) + grid.zero_point
    low, high = float(codes.min()), float(codes.max())
    for bits in range(1, MAX_ACTIVATION_BITS + 1):
        span = ScaledInt.of_bits(bits, signed=low < 0)
        if span.lo <= low and high <= span.hi and not (bits == 1 and low < 0):
            scale, zero = np.asarray(grid.scale, np.float32), np.float32(grid.zero_point)
            op = Quant(scale, np.asarray(zero), bits, low < 0, integer_zero=True)
            got = op.out_format.decode(op.evaluate(values.astype(np.float32)))
            return op if (got == values).all() else None
    return None


def _spread(op: Quant, chain: Chain, inverse: np.ndarray) -> Quant | None:
    """``op``, with a scale for each class of elements, for every channel of the value."""
    if op.scale.size == 1 or (op.scale == op.scale[0]).all():
        return replace(op, scale=op.scale[:1])
    channels = chain.origin.shape[-1]
    each = op.scale[inverse]
    rows = each.reshape(-1, channels) if each.size % channels == 0 else each[None]
    if rows.shape[1] != channels or (rows != rows[:1]).any():
        return None
    return replace(op, scale=over(rows[0], (channels,)))
