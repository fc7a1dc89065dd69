"""Encoders: operators of the exchange format (docs/EXCHANGE.md), before the Scan."""

from __future__ import annotations

from onnx import NodeProto

from codesign.exchange import DOMAIN, read_encoder
from codesign.exchange.domain import ENCODERS
from codesign.formats import Real
from codesign.frontend.context import Context, handles
from codesign.frontend.layout import to_axes
from codesign.ops.encode import Encode


@handles(*sorted(ENCODERS), domain=DOMAIN)
def encode(ctx: Context, node: NodeProto) -> None:
    """The steps of one vector of codes, or of a signal."""
    encoder = read_encoder(node).encoder
    x = ctx.tensor(node, 0)
    wanted = (0, 1) if encoder.over_time else (0,)
    if x.rank != len(wanted):
        what = f"it reads {x.rank} axes beside the batch, its encoder {len(wanted)}"
        raise ctx.error(node, what, "flatten its input")
    x = to_axes(ctx, node, x, wanted)
    value = x.value
    if isinstance(value.format, Real):
        raise ctx.error(
            node, "it reads float32", "put a quantizer to its bits right before it, scale 2^-frac"
        )
    ctx.emit(node, Encode(encoder), [value], tensor=node.output[0], axes=(0, 1))
