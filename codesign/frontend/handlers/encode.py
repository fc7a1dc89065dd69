"""Encoders: operators of the exchange format (docs/EXCHANGE.md), before the Scan."""

from __future__ import annotations

from onnx import NodeProto

from codesign.exchange import DOMAIN, read_encoder
from codesign.exchange.domain import ENCODERS
from codesign.formats import Real
from codesign.frontend.context import Context, handles
from codesign.ops.encode import Encode


@handles(*sorted(ENCODERS), domain=DOMAIN)
def encode(ctx: Context, node: NodeProto) -> None:
    """The steps of one vector of codes."""
    encoder = read_encoder(node).encoder
    x = ctx.tensor(node, 0)
    value = x.value
    if x.rank != 1:
        raise ctx.error(node, f"it reads {x.rank} axes beside the batch", "flatten its input")
    if isinstance(value.format, Real):
        raise ctx.error(
            node, "it reads float32", "put a quantizer to its bits right before it, scale 2^-frac"
        )
    ctx.emit(node, Encode(encoder), [value], tensor=node.output[0], axes=(0, 1))
