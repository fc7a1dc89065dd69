"""Real parameters as codes: exactly, or as near as a policy allows, and then reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from codesign.errors import UnsupportedModel


@dataclass(frozen=True)
class Change:
    """``count`` of ``of`` values of ``what`` at ``where`` were rounded, the worst by
    ``largest``."""

    where: str
    what: str
    largest: float
    count: int
    of: int

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.count} of {self.of} {self.what} values rounded, "
            f"the largest change is {self.largest:.3g}"
        )


class Holder:
    """Turns real numbers into codes; ``nearest`` allows rounding, which ``changes`` lists."""

    def __init__(self, nearest: bool) -> None:
        self._nearest = nearest
        self.changes: list[Change] = []

    def codes(
        self, values: np.ndarray, frac: int, lo: int, hi: int, what: str, where: str
    ) -> np.ndarray:
        """int64 codes ``lo..hi`` worth ``2**-frac`` of ``values``, same shape.

        Raises :class:`UnsupportedModel` where a value is not finite or lies outside, and, unless
        ``nearest``, where it lies between two codes: the message states the nearest.
        """
        values = np.asarray(values, dtype=np.float64)
        if not np.isfinite(values).all():
            hint = "the file is damaged, or training diverged: export again"
            raise UnsupportedModel(f"a {what} is not finite", where=where, hint=hint)
        scaled = np.ldexp(values, frac)
        codes = np.rint(scaled)
        outside = (codes < lo) | (codes > hi)
        if outside.any():
            raise UnsupportedModel(
                f"{what} {values[outside][0]:.9g} lies outside {lo * 2.0**-frac:.9g}.."
                f"{hi * 2.0**-frac:.9g}",
                where=where,
                hint="give its format more bits, or fewer fraction bits",
            )
        self._compare(values, np.ldexp(codes, -frac), what, where, f"multiple of 2^{-frac}")
        return codes.astype(np.int64)

    def shifts(self, decays: np.ndarray, where: str) -> np.ndarray:
        """int64 ``k`` of decays ``1 - 2**-k``, 1 to 30; errors as in :meth:`codes`."""
        with np.errstate(divide="ignore"):
            wanted = -np.log2(np.maximum(1 - decays, 2.0**-40))
        k = np.clip(np.rint(wanted), 1, 30)
        self._compare(decays, 1 - 2.0**-k, "decay", where, "decay of the form 1 - 2^-k")
        return k.astype(np.int64)

    def _compare(
        self, values: np.ndarray, held: np.ndarray, what: str, where: str, kind: str
    ) -> None:
        change = np.abs(values - held)
        count = np.count_nonzero(change)
        if not count:
            return
        if not self._nearest:
            worst = np.unravel_index(change.argmax(), change.shape)
            raise UnsupportedModel(
                f"{what} {values[worst]:.9g} is no {kind}: the nearest is {held[worst]:.9g}",
                where=where,
                hint="train or round it to the format, give the format more fraction bits, or "
                "allow the nearest: formats.parameters = 'nearest'",
            )
        self.changes.append(Change(where, what, float(change.max()), int(count), values.size))
