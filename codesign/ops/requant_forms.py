"""Choose the cheapest exact realisation of a requantizer among those that exist for it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.errors import UnsupportedModel
from codesign.ops.requant_fit import fit_dyadic, fit_shift

if TYPE_CHECKING:
    from codesign.ops.requant import Requant

#: LUTs one block RAM stands for: an ECP5-85F has 83640 LUTs and 208 block RAMs.
BRAM_LUTS = 400

#: A ROM of more words than this a channel is never tried.
ROM_WORDS = 1 << 14
#: Nor are more thresholds than this compared side by side.
MAX_COMPARATORS = 1 << 10
#: Thresholds that a binary search may have.
MIN_SEARCHED, MAX_SEARCHED = 24, 1 << 12


@lru_cache(maxsize=1024)
def candidates(op: Requant) -> tuple[Any, ...]:
    """Every exact form of ``op``; each was proven equal on the whole input range."""
    from codesign.hdl.requant import Levels

    if not op.monotone:
        return (_rom(op),)
    forms = _arithmetic(op)
    if op.levels.size:
        forms = [Levels(form, op.levels) for form in forms]
    if _small(op):
        forms.append(_rom(op))
    return tuple(forms)


def _arithmetic(op: Requant) -> list[Any]:
    """The forms that compute the place of ``x``."""
    from codesign.hdl.requant import Dyadic, ShiftRound, Thresholds

    forms: list[Any] = []
    if (op.step > 0).all() and op.last > op.first:
        shift, dyadic = fit_shift(op), fit_dyadic(op)
        if shift is not None:
            total = shift.shift + shift.fraction
            forms.append(
                ShiftRound(_merged(shift.bias), total, shift.rounding, fraction=shift.fraction)
            )
        if dyadic is not None:
            multiplier, addend = _merged(dyadic.multiplier), _merged(dyadic.addend)
            forms.append(Dyadic(multiplier, addend, dyadic.shift))
    count = op.thresholds.shape[1]
    if count <= MAX_COMPARATORS:
        forms.append(Thresholds(op.base, op.step, op.thresholds))
    if not forms and not _small(op):
        raise UnsupportedModel(
            f"a quantizer of {count} thresholds over {op.hi - op.lo + 1} accumulator values is no "
            f"multiplication, addition and shift, and at most {MAX_COMPARATORS} are compared",
            hint="use power-of-two scales, or fewer bits in the activation quantizer",
        )
    return forms


def _small(op: Requant) -> bool:
    return op.hi - op.lo + 1 <= ROM_WORDS


@lru_cache(maxsize=1024)
def cheapest(op: Requant, folds: int) -> Any:
    """The candidate with the fewest estimated LUTs; block RAM counts at its share of a device.

    ``folds``: how many sets of parameters a lane goes through.
    """
    from codesign.hdl.requant import Ranges

    ranges = Ranges(op.lo, op.hi, op.out_format.lo, op.out_format.hi)

    def price(form: Any) -> int:
        return int(form.lut_estimate(ranges, folds)) + BRAM_LUTS * block_rams(form, ranges, folds)

    best = min(candidates(op), key=price)
    found = _search(op, folds)
    # A search takes a stage for each comparison: only where it is far cheaper.
    return found if found is not None and 2 * price(found) < price(best) else best


def _search(op: Requant, folds: int) -> Any:
    """Binary search among the thresholds, where there are enough of them."""
    from codesign.hdl.requant import Levels, Search, Thresholds

    if not op.monotone or not MIN_SEARCHED <= op.thresholds.shape[1] <= MAX_SEARCHED:
        return None
    steps = Thresholds(op.base, op.step, op.thresholds)
    found = Search(steps, folds if steps.channels > 1 else 1)
    return Levels(found, op.levels) if op.levels.size else found


def block_rams(form: Any, ranges: Any, folds: int) -> int:
    """Block RAMs one lane of ``form`` takes (16 kbit each, at most 18 wide at this depth)."""
    from codesign.hdl.memories import LUT_DEPTH
    from codesign.hdl.requant import Levels, Rom, Search, Thresholds

    inside = 0
    if isinstance(form, Levels):
        inside = block_rams(form.index, form.inner(ranges), folds)
        depth, varied = 1 << form.inner(ranges).out_bits, len(form.levels) > 1
    elif isinstance(form, Search):
        return int(form.block_rams(ranges))
    elif isinstance(form, Thresholds) and form.channels > 1 and folds > LUT_DEPTH:
        return -(-form.thresholds.shape[1] * ranges.in_bits * folds // (1 << 14))
    elif isinstance(form, Rom):
        depth, varied = 1 << ranges.in_bits, form.channels > 1
    else:
        return 0
    depth *= folds if varied else 1
    return inside + (0 if depth <= LUT_DEPTH else -(-depth * ranges.out_bits // (1 << 14)))


def _merged(values: np.ndarray) -> np.ndarray:
    return values[:1] if (values == values[:1]).all() else values


def _rom(op: Requant) -> Any:
    from codesign.hdl.requant import Rom

    if not op.monotone:
        return Rom(op.table, op.lo)
    inputs = np.arange(op.lo, op.hi + 1, dtype=np.int64)
    rows = [op.column(inputs, c) for c in range(op.period)]
    return Rom(np.stack(rows), op.lo)
