"""Decoders: operators of the exchange format (docs/EXCHANGE.md), behind the Scan."""

from __future__ import annotations

from onnx import NodeProto

from codesign.exchange import DOMAIN, read_decoder
from codesign.exchange.domain import DECODERS
from codesign.formats import Real
from codesign.frontend.context import Context, handles
from codesign.frontend.layout import to_axes
from codesign.ops.bessel import Bessel


@handles(*sorted(DECODERS), domain=DOMAIN)
def decode(ctx: Context, node: NodeProto) -> None:
    """Every step smoothed; the steps are the first axis beside the batch."""
    decoder = read_decoder(node).decoder
    x = ctx.tensor(node, 0)
    if isinstance(x.value.format, Real):
        raise ctx.error(node, "it reads float32", "let it read what a layer of neurons puts out")
    if not x.axes or x.axes[0]:
        x = to_axes(ctx, node, x, tuple(range(x.rank)))
    ctx.emit(node, Bessel(decoder), [x.value], tensor=node.output[0], axes=x.axes)
