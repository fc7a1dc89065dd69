"""Quantizer: what turns float32 into integer codes. One file per dialect derives from it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.formats import Format
from codesign.ir import Op

if TYPE_CHECKING:
    from codesign.ir import Value


def check_scales(scale: np.ndarray, x: Value) -> None:
    """``UnsupportedModel`` unless there is one scale for ``x``, or one for each channel."""
    if scale.shape not in ((1,), (x.shape[-1] if x.shape else 1,)):
        raise UnsupportedModel(
            f"a quantizer has scales of shape {scale.shape} for a value of {x.shape}",
            hint="give one scale per tensor or one per channel",
        )


class Quantizer(Op):
    """The end of a chain that tabulates; reads float32 or decoded codes, element by element.

    Not :class:`~codesign.ir.Elementwise` because it returns codes. Its arrays are constants that
    broadcast against the value's trailing axes.
    """

    @property
    @abstractmethod
    def out_format(self) -> Format:
        """The codes it can emit, and what they stand for."""

    @property
    def levels(self) -> np.ndarray | None:
        """Its codes, int64 ascending, where they are not all of ``out_format.lo..hi``."""
        return None

    @abstractmethod
    def evaluate(self, x: np.ndarray) -> np.ndarray:
        """float32 in, int64 codes out, same shape; ``UsageError`` for NaN."""

    def direction(self) -> np.ndarray:
        """Never decreasing unless a dialect says otherwise (see ``Elementwise.direction``)."""
        return np.ones(1, dtype=np.int64)

    def execute(self, ins: list[Value], *arrays: np.ndarray) -> np.ndarray:
        return self.evaluate(ins[0].format.decode(arrays[0]))
