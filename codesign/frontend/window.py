"""Kernel, stride, dilation and padding of windows as ONNX writes them, made explicit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnx import NodeProto

from codesign.frontend.context import Context

#: Elements of the largest value the importer builds an index for.
MAX_ELEMENTS = 1 << 26

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Axis:
    """A window along one spatial axis. ``end`` is the padding the windows reach, ``given_end``
    what the file says (they differ in ceil mode)."""

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    begin: int = 0
    end: int = 0
    given_end: int = 0
    out: int = 1

    @property
    def extent(self) -> int:
        """Input positions one window spans."""
        return (self.kernel - 1) * self.dilation + 1

    def counts(self, *, include_pad: bool) -> list[int]:
        """Taps of each window that count in an average."""
        low, high = (-self.begin, self.size + self.given_end) if include_pad else (0, self.size)
        taps = [k * self.dilation - self.begin for k in range(self.kernel)]
        return [sum(low <= o * self.stride + t < high for t in taps) for o in range(self.out)]


@dataclass(frozen=True)
class Window:
    """Two axes; a one-dimensional window has a first axis of size 1."""

    y: Axis
    x: Axis

    @property
    def kernel(self) -> tuple[int, int]:
        return self.y.kernel, self.x.kernel

    @property
    def strides(self) -> tuple[int, int]:
        return self.y.stride, self.x.stride

    @property
    def dilations(self) -> tuple[int, int]:
        return self.y.dilation, self.x.dilation

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right)."""
        return self.y.begin, self.x.begin, self.y.end, self.x.end


def integers(
    ctx: Context, node: NodeProto, name: str, value: object, count: int, default: int, low: int
) -> list[int]:
    """Attribute ``name``: ``count`` integers of at least ``low``, or ``default`` each."""
    if value is None:
        return [default] * count
    if not isinstance(value, list) or len(value) != count:
        raise ctx.error(
            node, f"attribute '{name}' is {value}", f"{count} numbers are needed for this rank"
        )
    if any(not isinstance(v, int) or not low <= v < 1 << 16 for v in value):
        raise ctx.error(node, f"attribute '{name}' is {value}", f"use numbers from {low} to 65535")
    return value


def spatial_rank(ctx: Context, node: NodeProto, shape: tuple[int, ...]) -> int:
    """1 or 2 for a tensor of ``shape`` (channels, spatial...); others are refused."""
    rank = len(shape) - 1
    if rank not in (1, 2):
        raise ctx.error(
            node,
            f"{node.op_type} on a value of shape (batch, {', '.join(map(str, shape))})",
            "one or two spatial axes are supported: (batch, C, L) or (batch, C, H, W)",
        )
    return rank


def window(
    ctx: Context,
    node: NodeProto,
    attrs: dict[str, object],
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    extra_pads: tuple[int, ...] = (),
) -> Window:
    """The window of ``node`` over spatial ``sizes``. ``extra_pads``: of a Pad in front of it."""
    n = len(sizes)
    strides = integers(ctx, node, "strides", attrs["strides"], n, 1, 1)
    dilations = integers(ctx, node, "dilations", attrs.get("dilations"), n, 1, 1)
    pads = integers(ctx, node, "pads", attrs["pads"], 2 * n, 0, 0)
    auto = attrs["auto_pad"]
    if auto not in AUTO_PADS:
        raise ctx.error(node, f"attribute 'auto_pad' is {auto}", f"supported: {AUTO_PADS}")
    if auto != "NOTSET" and any(pads):
        raise ctx.error(node, f"it has both pads and auto_pad {auto}", "use one of them")
    ceil = bool(attrs.get("ceil_mode", 0))
    found = []
    for i in range(n):
        before, after = (extra_pads[i], extra_pads[n + i]) if extra_pads else (0, 0)
        axis = Axis(sizes[i], kernel[i], strides[i], dilations[i])
        begin, end = _pads(axis, str(auto), pads[i], pads[n + i])
        found.append(_placed(ctx, node, axis, begin + before, end + after, ceil))
    if math.prod(a.out for a in found) > MAX_ELEMENTS:
        raise ctx.error(node, "its result is too large for a circuit", "check pads and strides")
    flat = Axis(1, 1)
    return Window(*([flat] * (2 - n)), *found)


def _pads(axis: Axis, auto: str, begin: int, end: int) -> tuple[int, int]:
    if not auto.startswith("SAME"):
        return begin, end
    out = -(-axis.size // axis.stride)
    total = max((out - 1) * axis.stride + axis.extent - axis.size, 0)
    small = total // 2
    return (small, total - small) if auto == "SAME_UPPER" else (total - small, small)


def _placed(ctx: Context, node: NodeProto, axis: Axis, begin: int, end: int, ceil: bool) -> Axis:
    """``axis`` with its padding and number of windows; in ceil mode the last window may reach
    past the padding, but must start inside the input or the padding before it."""
    room = axis.size + begin + end - axis.extent
    if room < 0:
        raise ctx.error(
            node,
            f"a window of {axis.extent} does not fit {axis.size} + {begin} + {end} positions",
            "check kernel_shape, dilations and pads",
        )
    out = (-(-room // axis.stride) if ceil else room // axis.stride) + 1
    if ceil and (out - 1) * axis.stride >= axis.size + begin:
        out -= 1
    reach = max((out - 1) * axis.stride + axis.extent - axis.size - begin, 0)
    return Axis(
        axis.size, axis.kernel, axis.stride, axis.dilation, begin, reach, given_end=end, out=out
    )
