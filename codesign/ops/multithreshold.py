"""MultiThreshold: FINN's quantizer, how many thresholds a value reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import Format, ScaledInt
from codesign.ir import constant, register
from codesign.ops.quantizer import Quantizer

if TYPE_CHECKING:
    from codesign.ir import Value


@register("multithreshold")
@dataclass(frozen=True, eq=False)
class MultiThreshold(Quantizer):
    """``code = step * #(x >= thresholds[c, i]) + first``, its value ``scale * code``.

    ``thresholds``: float32 [C, n] or [1, n], ascending, C the last axis. ``step`` is 1 but where
    FINN's out_scale and out_bias only have a common unit of a fraction of out_scale (2 and -1:
    bipolar).
    """

    thresholds: np.ndarray
    scale: float
    first: int = 0
    step: int = 1

    def __post_init__(self) -> None:
        table = np.sort(np.atleast_2d(np.asarray(self.thresholds, dtype=np.float32)), axis=1)
        object.__setattr__(self, "thresholds", constant(table, np.float32))

    @property
    def out_format(self) -> ScaledInt:
        last = self.first + self.step * self.thresholds.shape[1]
        return ScaledInt(self.first, last, (self.scale,))

    @property
    def levels(self) -> np.ndarray | None:
        if self.step == 1:
            return None
        return self.first + self.step * np.arange(self.thresholds.shape[1] + 1, dtype=np.int64)

    def constants(self) -> list[np.ndarray]:
        """Every column of the thresholds, as broadcasting arrays."""
        return [self.thresholds[:, i] for i in range(self.thresholds.shape[1])]

    def pick(self, tail: tuple[int, ...], index: np.ndarray) -> MultiThreshold:
        """The quantizer of elements ``index`` of a value whose trailing axes are ``tail``."""
        table = self.thresholds
        if len(table) > 1:
            table = np.broadcast_to(table, (*tail, table.shape[1])).reshape(-1, table.shape[1])
            table = table[index]
        return MultiThreshold(table, self.scale, self.first, self.step)

    def evaluate(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float32)
        if np.isnan(x).any():
            raise UsageError("a MultiThreshold was given NaN", hint="clean the data")
        if len(self.thresholds) == 1:
            count = np.searchsorted(self.thresholds[0], x, "right")
        else:
            wide = np.broadcast_to(x, np.broadcast_shapes(x.shape, (len(self.thresholds),)))
            columns = [
                np.searchsorted(row, wide[..., c], "right") for c, row in enumerate(self.thresholds)
            ]
            count = np.stack(columns, axis=-1)
        return self.first + self.step * np.asarray(count, dtype=np.int64)

    def infer(self, *ins: Value) -> tuple[tuple[int, ...], Format]:
        (x,) = ins
        if len(self.thresholds) not in (1, x.shape[-1]):
            raise UnsupportedModel(
                f"thresholds for {len(self.thresholds)} channels, the value has {x.shape[-1]}"
            )
        return x.shape, self.out_format
