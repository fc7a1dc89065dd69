"""Rearrange: any index map of a frame: transpose, slice, pad, upsample, expand, ..."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real, ScaledInt
from codesign.ir import Value, constant, register
from codesign.ir.plan import Plan
from codesign.ops.circuit import CircuitOp
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("rearrange")
@dataclass(frozen=True, eq=False)
class Rearrange(CircuitOp):
    """``out[p] = frame.ravel()[index[p]]``, or ``fill`` where ``index[p]`` is -1.

    ``index``: int64 of the output's shape (without batch), flat element numbers of the input.
    ``fill``: a real value. On float32 it is used as it is; on codes it must have an exact code,
    and the format's range grows to hold that code. With one scale per channel, every output
    channel must take its elements from channels of one scale.
    """

    index: np.ndarray
    fill: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", constant(self.index, np.int64))
        object.__setattr__(self, "fill", float(self.fill))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the output, without batch."""
        return tuple(int(n) for n in self.index.shape)

    @property
    def fills(self) -> bool:
        """Whether any output element is ``fill``."""
        return bool((self.index < 0).any())

    def each_step(self, steps: int, elements: int) -> Rearrange:
        """The same in each of ``steps`` steps, of ``elements`` input elements each; their axis
        comes first."""
        start = np.arange(steps, dtype=np.int64).reshape(-1, *[1] * self.index.ndim) * elements
        index = self.index[None]
        return Rearrange(np.where(index < 0, -1, index + start), self.fill)

    def is_identity(self, elements: int) -> bool:
        """Whether the stream passes unchanged from a frame of ``elements`` elements."""
        flat = self.index.reshape(-1)
        return len(flat) == elements and bool((flat == np.arange(elements)).all())

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if self.index.size == 0:
            raise UnsupportedModel(
                f"a tensor of shape {self.shape} has no elements",
                hint="check the axes, starts and ends of the node",
            )
        if self.index.min() < -1 or self.index.max() >= x.elements:
            raise ValueError(f"an index map reads beyond the {x.elements} elements of its input")
        if isinstance(x.format, Real):
            return self.shape, x.format
        if not isinstance(x.format, ScaledInt):
            raise UnsupportedModel(f"cannot rearrange codes of {x.format.label()}")
        scale = self._scale(x, x.format)
        if not self.fills:
            return self.shape, _with(x.format, scale)
        codes = self.fill_codes(scale, x.format.zero_point)
        lo, hi = min(x.format.lo, *map(int, codes)), max(x.format.hi, *map(int, codes))
        return self.shape, ScaledInt(lo, hi, scale, x.format.zero_point)

    def _scale(self, x: Value, format: ScaledInt) -> tuple[float, ...]:
        """The scales of the output's channels; ``UnsupportedModel`` where a channel has two."""
        if len(format.scale) == 1:
            return format.scale
        source = np.asarray(format.scale)[np.maximum(self.index, 0) % x.shape[-1]]
        channels = self.shape[-1] if self.shape else 1
        columns = np.where(self.index < 0, np.nan, source).reshape(-1, channels)
        least, most = _ends(columns)
        if (least != most).any():
            raise UnsupportedModel(
                f"rearranging {x.shape} to {self.shape} mixes channels of different scale",
                hint="quantize per tensor before the rearrangement",
            )
        first = float(least[0])
        return (first,) if (least == first).all() else tuple(float(s) for s in least)

    def fill_codes(self, scale: tuple[float, ...], zero_point: int) -> np.ndarray:
        """int64 [len(scale)]: the code of ``fill``; ``UnsupportedModel`` if it has none."""
        codes = []
        for s in scale:
            step = self.fill / s if math.isfinite(self.fill) else 0.5
            code = zero_point + round(step) if abs(step) < 1 << 24 else 0
            got = ScaledInt(code, code, (s,), zero_point).decode(np.array([code]))[0]
            if got != np.float32(self.fill):
                raise UnsupportedModel(
                    f"the padding value {self.fill:g} has no code at scale {s:g}",
                    hint="pad with zero or a multiple of the scale, or quantize after the padding",
                )
            codes.append(code)
        return np.array(codes, dtype=np.int64)

    def _fill_row(self, out: ScaledInt) -> np.ndarray:
        """int64, broadcastable to the output: what the padding elements are."""
        return self.fill_codes(out.scale, out.zero_point)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """``[B, *in shape]`` to ``[B, *index.shape]``, the dtype kept."""
        x = np.asarray(arrays[0])
        taken = x.reshape(len(x), -1)[:, np.maximum(self.index, 0)]
        if not self.fills:
            return np.asarray(taken)
        _, format = self.infer(ins[0])
        fill: Any = np.float32(self.fill)
        if isinstance(format, ScaledInt):
            fill = self._fill_row(format)
        return np.asarray(np.where(self.index < 0, fill, taken), dtype=x.dtype)

    def one_step(self, steps: int) -> Rearrange:
        """The index map of the first step, where all steps have the same one."""
        index = self.index.reshape(steps, -1)
        first = index[0]
        size = int((index[1:] - first).max(initial=0)) // max(1, steps - 1)
        start = np.arange(steps, dtype=np.int64)[:, None] * size
        if (index != np.where(first < 0, -1, first + start)).any() or (first >= size).any():
            raise UnsupportedModel(
                "a rearrangement inside a recurrent loop mixes steps",
                hint="move it out of the Scan",
            )
        return Rearrange(first.reshape(1, *self.shape[1:]), self.fill)

    def lane_options(self, ins: list[Value]) -> list[int]:
        """Those of which the map moves whole beats: with others each beat would be taken apart."""
        return _whole_beats(self, ins[0].elements, tuple(super().lane_options(ins)))

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.rearrange.rearrange import Rearrange as Stream

        fill = 0
        if self.fills:
            assert isinstance(out.format, ScaledInt)
            row = self._fill_row(out.format)
            fill = int(row[0])
            if (row != fill).any():
                raise UnsupportedModel(
                    f"the padding value {self.fill:g} has another code in each channel",
                    hint="pad with zero, or quantize per tensor before the padding",
                )
        return Stream(
            self.index.reshape(-1),
            in_lo=ins[0].format.lo,
            in_hi=ins[0].format.hi,
            out_lo=out.format.lo,
            out_hi=out.format.hi,
            elements=ins[0].elements,
            lanes=plan.pe,
            fill=fill,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        return _cost(self.rtl(ins, out, plan))

    def realisation(self, plan: Plan) -> str:
        return "addressing"


@lru_cache(maxsize=256)
def _whole_beats(op: Rearrange, elements: int, options: tuple[int, ...]) -> list[int]:
    from codesign.hdl.rearrange.rearrange import group_of

    if op.is_identity(elements):
        return list(options)
    return [lanes for lanes in options if group_of(op.index, elements, lanes) == lanes]


def _cost(component: Any) -> Cost:
    return Cost(lut=component.luts, ff=component.ffs, bram=component.brams)


def _with(format: ScaledInt, scale: tuple[float, ...]) -> ScaledInt:
    return ScaledInt(format.lo, format.hi, scale, format.zero_point)


def _ends(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest of each column, NaN ignored; a column of nothing but fill takes the
    first scale there is."""
    default = columns[~np.isnan(columns)]
    default = default[0] if default.size else 1.0
    empty = np.isnan(columns).all(axis=0)
    columns = np.where(empty, default, columns)
    return np.nanmin(columns, axis=0), np.nanmax(columns, axis=0)
