"""What stands in the memories of a folded matrix-vector unit: a pure function of its weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codesign.hdl import multiplier as products
from codesign.hdl.memories import pack


@dataclass(frozen=True)
class WeightImage:
    """Places of ``rows`` x ``columns`` weights, folded ``pe`` x ``simd``, in ``sets`` groups.

    Word ``(s * NF + r) * SF + c`` of the weight memory holds, lowest first, for each row ``p`` of
    ``pe`` the codes of the ``simd`` weights of row ``s * rows / sets + r * pe + p``, columns from
    ``c * simd`` on. Word ``s * NF + r`` of the starts holds for each of the ``pe`` rows what its
    accumulator starts from: the bias, and the ones that negative digits borrowed.
    """

    rows: int
    columns: int
    pe: int
    simd: int
    sets: int
    recoding: products.Recoding

    @property
    def nf(self) -> int:
        """Row folds of a set."""
        return -(-(self.rows // self.sets) // self.pe)

    @property
    def sf(self) -> int:
        """Column folds."""
        return -(-self.columns // self.simd)

    @property
    def words(self) -> int:
        """Words of the weight memory."""
        return self.sets * self.nf * self.sf

    @property
    def width(self) -> int:
        """Bits of a word of weights."""
        return self.recoding.width * self.pe * self.simd

    def padded(self, weights: np.ndarray) -> np.ndarray:
        """int64 [sets, NF * pe, SF * simd] from int64 [rows, columns]."""
        return padded(weights, self.sets, self.pe, self.simd)

    def by_fold(self, weights: np.ndarray) -> np.ndarray:
        """The same as int64 [words, pe, simd]."""
        cube = self.padded(weights).reshape(-1, self.pe, self.sf, self.simd)
        return cube.transpose(0, 2, 1, 3).reshape(-1, self.pe, self.simd)

    def weight_words(self, weights: np.ndarray) -> list[int]:
        """Contents of the weight memory."""
        codes, width = self.recoding.codes(self.by_fold(weights)), self.recoding.width
        return [pack([(c, width) for c in word.reshape(-1)]) for word in codes]

    def starts(self, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """int64 [sets * NF, pe]: what each accumulator starts from."""
        rows = self.rows // self.sets
        start = self.recoding.correction(self.padded(weights)).sum(axis=2)
        start[:, :rows] += bias.reshape(self.sets, rows)
        table = start.reshape(self.sets, self.nf, self.pe)
        used = rows - (self.nf - 1) * self.pe
        table[:, -1, used:] = table[:, 0, used:]
        return np.asarray(table.reshape(-1, self.pe))

    def start_words(self, weights: np.ndarray, bias: np.ndarray, width: int) -> list[int]:
        """The starts as words of ``pe`` fields of ``width`` bits."""
        return [pack([(v, width) for v in row]) for row in self.starts(weights, bias)]


def padded(weights: np.ndarray, sets: int, pe: int, simd: int) -> np.ndarray:
    """int64 [sets, NF * pe, SF * simd]: zero columns, and rows beyond the last that nobody looks
    at: repeating a real row keeps the set of digits small."""
    n, k = weights.shape
    rows = n // sets
    full = np.zeros((sets, -(-rows // pe) * pe, -(-k // simd) * simd), np.int64)
    full[:, :rows, :k] = weights.reshape(sets, rows, k)
    full[:, rows:, :k] = full[:, :1, :k]
    return full


def values(lo: int, hi: int, columns: int, simd: int) -> np.ndarray:
    """Every value a place of a loadable memory may hold: ``lo..hi``, and the padding's zero."""
    span = np.arange(lo, hi + 1)
    return span if columns % simd == 0 or lo <= 0 <= hi else np.append(span, 0)


def image_of(
    shape: tuple[int, int],
    *,
    pe: int,
    simd: int,
    sets: int,
    multiplier: str,
    weights: Sequence[int] | np.ndarray,
) -> WeightImage:
    """The image of ``shape`` weights that take the values in ``weights``."""
    recoding = products.recode(np.asarray(weights), multiplier)
    return WeightImage(shape[0], shape[1], pe, simd, sets, recoding)
