"""HeadedEncode: an encoder before a layer that learns, which hands on what is said of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ir import Value, register
from codesign.ir.plan import Plan
from codesign.learning.header import check_bits, check_target, header_rows, split, with_header
from codesign.ops.circuit import CircuitOp, divisors
from codesign.ops.encode import Encode
from codesign.ops.first_spike import SPIKES
from codesign.schema import Cost

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component


@register("headed_encode")
@dataclass(frozen=True, eq=False)
class HeadedEncode(CircuitOp):
    """``encode`` of codes ``shape``, (F,) or (T, F), behind a header of ``rows`` rows of F codes of
    0 and 1 (:mod:`codesign.learning.header`), which comes out as spikes before those it makes."""

    encode: Encode
    shape: tuple[int, ...]
    classes: int

    @property
    def features(self) -> int:
        """Codes of a row of its input."""
        return self.shape[-1]

    @property
    def rows(self) -> int:
        """Header rows of its input."""
        return header_rows(self.classes, self.features)

    @property
    def in_shape(self) -> tuple[int, int]:
        """Of its input, header included."""
        vectors = self.shape[0] if len(self.shape) > 1 else 1
        return self.rows + vectors, self.features

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        (steps, outputs), format = self._inner(x)
        if x.shape != self.in_shape or format != SPIKES or x.format.lo > 0 or x.format.hi < 1:
            raise UnsupportedModel(
                f"a '{self.encode.encoder.kind}' code of {x.format.label()} is no spikes",
                hint="layers that learn read spikes: encode by rate, latency, delta, or as binary "
                "or bitwise counts",
            )
        return (header_rows(self.classes, outputs) + steps, outputs), SPIKES

    def _inner(self, x: Value) -> tuple[tuple[int, ...], Format]:
        return self.encode.infer(Value(x.name, self.shape, x.format))

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        """int64 [n, rows + vectors, F] to int64 [n, rows + T, F']; ``ValueError`` for a header that
        holds other codes than 0 and 1, or no class."""
        (x,) = arrays
        check_bits(x, self.classes)
        codes, learn, target = split(x, self.classes)
        check_target(target, self.classes)
        spikes = self.encode.encoder.encode(codes.reshape(len(codes), *self.shape))
        return with_header(spikes, learn, target, self.classes)

    def lane_options(self, ins: list[Value]) -> list[int]:
        return divisors(self.features)

    def cycles(self, ins: list[Value], plan: Plan) -> int:
        shape, _ = self.infer(*ins)
        return shape[0] * shape[1] // plan.pe

    def build(self, ins: tuple[Value, ...], out: Value, plan: Plan) -> Component:
        from codesign.hdl.learning.encoded import HeadedEncoder

        (x,) = ins
        (steps, outputs), format = self._inner(x)
        inner = Value(x.name, self.shape, x.format)
        return HeadedEncoder(
            self.encode.build((inner,), Value("", (steps, outputs), format), plan),
            elements=self.features,
            vectors=self.in_shape[0] - self.rows,
            outputs=outputs,
            steps=steps,
            lanes=plan.pe,
            classes=self.classes,
        )

    def cost(self, ins: list[Value], out: Value, plan: Plan) -> Cost:
        (x,) = ins
        inner = Value(x.name, self.shape, x.format)
        # The header: counters of beats on both sides, its bits twice.
        return self.encode.cost([inner], out, plan) + Cost(lut=40 + plan.pe, ff=50)

    def realisation(self, plan: Plan) -> str:
        return f"{self.encode.realisation(plan)}, a header before them"
