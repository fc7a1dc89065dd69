"""float32 values: what a model computes between integers. Never on a wire."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.formats.base import Format


@dataclass(frozen=True)
class Real(Format):
    """A float32 tensor on the host side of the model. It has no codes and no wire width."""

    @property
    def lo(self) -> int:
        raise TypeError("a float32 tensor has no integer codes")

    @property
    def hi(self) -> int:
        raise TypeError("a float32 tensor has no integer codes")

    def decode(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(codes, dtype=np.float32)

    def label(self) -> str:
        return "float32"

    def to_json(self) -> dict[str, object]:
        return {"kind": "real"}

    @staticmethod
    def from_json(data: dict[str, object]) -> Real:
        return Real()
