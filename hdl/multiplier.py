"""Products of a constant-table weight and a code, as rows for an adder tree.

``lut``: the weight is rewritten, before synthesis, in radix-4 digits -2..2, one row per digit. A
row is 0, x, 2x or the one's complement of x or 2x, so each of its bits is a function of two bits
of ``x`` and the digit's code: one LUT4 for two-bit codes. The ones that two's complement would
add depend only on the weights: :meth:`Recoding.correction` folds them into the bias.

``dsp``: one row, ``x * w``, which synthesis maps to a hardware multiplier.
"""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Cat, Const, Mux, Shape, Value

from codesign.formats.base import bits_for
from codesign.hdl.stream import range_shape


@dataclass(frozen=True)
class Plane:
    """One digit: weight ``4**(shift/2)``, its code's bits within the packed weight word.

    ``alphabet[code]`` is the digit a code stands for (``None``: code never stored).
    """

    shift: int
    bits: tuple[int, ...]
    alphabet: tuple[int | None, ...]

    @property
    def digits(self) -> tuple[int, ...]:
        """The digits that occur."""
        return tuple(sorted({d for d in self.alphabet if d is not None}))


@dataclass(frozen=True)
class Recoding:
    """How weights are stored and turned into rows; see the module's text."""

    planes: tuple[Plane, ...]
    width: int
    product: bool = False

    def codes(self, weights: np.ndarray) -> np.ndarray:
        """Packed words (int64, same shape) of integer ``weights``."""
        if self.product or self._raw:
            return np.asarray(weights & ((1 << self.width) - 1))
        word = np.zeros_like(weights)
        for plane, digit in zip(self.planes, _split(weights, self.planes), strict=True):
            for code, value in enumerate(plane.alphabet):
                if value is not None:
                    word[digit == value] |= code << plane.bits[0]
        return word

    @property
    def _raw(self) -> bool:
        """Booth digits share bits of the plain two's complement weight."""
        return sum(len(p.bits) for p in self.planes) > self.width

    def digits(self, weights: np.ndarray) -> list[np.ndarray]:
        """Per plane the digit (int64, same shape) of each weight (itself for ``dsp``)."""
        return [weights] if self.product else _split(weights, self.planes)

    def correction(self, weights: np.ndarray) -> np.ndarray:
        """What must be added to the sum of rows to get the product (int64, same shape)."""
        if self.product:
            return np.zeros_like(weights)
        pairs = zip(self.planes, _split(weights, self.planes), strict=True)
        return np.asarray(sum(((d < 0).astype(np.int64) << p.shift) for p, d in pairs))


def recode(weights: np.ndarray, multiplier: str = "lut") -> Recoding:
    """The cheapest recoding of the values in ``weights`` (any shape, integers)."""
    if multiplier not in ("lut", "dsp"):
        raise ValueError(f"multiplier is 'lut' or 'dsp', got {multiplier!r}")
    values = np.unique(np.asarray(weights, dtype=np.int64))
    lo, hi = int(values[0]), int(values[-1])
    if multiplier == "dsp":
        width = bits_for(lo, hi)
        if lo >= 0:
            return Recoding((Plane(0, tuple(range(width)), (0,)),), width, True)
        return Recoding((Plane(0, tuple(range(width)), (-1,)),), width, True)
    lows = _low_sets(lo, hi)
    # Two digits, the upper one of five values: Booth's code shares a bit and saves memory.
    if len(lows) == 1 and lo >= -8 and hi <= 7 and not _fits_four(lo, hi, lows):
        low = Plane(0, (0, 1), (0, 1, -2, -1))
        high = Plane(2, (1, 2, 3), (0, 1, 1, 2, -2, -1, -1, 0))
        return Recoding((low, high), 4)
    return _packed(values, lows)


def multiples(x: Value) -> tuple[Value, Value]:
    """(x, 2x), both of :func:`row_shape`: what the rows of every weight select from."""
    width = row_shape(x.shape()).width
    fill = x[-1] if x.shape().signed else Const(0, 1)
    one = Cat(x, fill.replicate(width - len(x)))
    return one.as_signed(), Cat(Const(0, 1), one[:-1]).as_signed()


def row(plane: Plane, one: Value, two: Value, code: Value) -> Value:
    """The digit's multiple of x (one's complement if negative), as signed as ``one``."""
    width = len(one)
    forms = {0: Const(0, width), 1: one, 2: two, -1: ~one, -2: ~two, None: None}
    return _select([forms[d] for d in plane.alphabet], code, width).as_signed()


def row_shape(x: Shape) -> Shape:
    """Shape of :func:`row`: signed, holds 2x and ~2x."""
    return Shape(x.width + (1 if x.signed else 2), signed=True)


def row_range(plane: Plane, digit: np.ndarray, x_lo: int, x_hi: int, product: bool) -> tuple:
    """(lo, hi) int64 arrays of the row's value for each ``digit``, ``x`` in ``x_lo..x_hi``."""
    ends = (digit * x_lo, digit * x_hi)
    borrow = 0 if product else (digit < 0).astype(np.int64)
    return np.minimum(*ends) - borrow, np.maximum(*ends) - borrow


def _select(forms: list[Value | None], code: Value, width: int) -> Value:
    """``forms[code]``; halves that never occur cost nothing."""
    live = [f for f in forms if f is not None]
    if not live:
        return Const(0, width)
    if len(forms) == 1 or all(f is live[0] for f in live):
        return live[0]
    half = len(forms) // 2
    low, high = forms[:half], forms[half:]
    rest = code if half == 1 else code[: half.bit_length() - 1]
    if all(f is None for f in high):
        return _select(low, rest, width)
    if all(f is None for f in low):
        return _select(high, rest, width)
    top = code[half.bit_length() - 1]
    return Mux(top, _select(high, rest, width), _select(low, rest, width))


def _low_sets(lo: int, hi: int) -> list[int]:
    """Lower digit sets, each by its least digit (-2 or -1); the top digit takes the rest."""
    count = 0
    while True:
        # `count` low digits cover 4**count values; the top digit -2..2 must reach lo and hi.
        for low in range(1 << count):
            lows = [-1 if low >> k & 1 else -2 for k in range(count)]
            if _fits_four(lo, hi, lows):
                return lows
        reach = sum(-2 * 4**k for k in range(count)), sum(4**k for k in range(count))
        top = 2 * 4**count
        if count and lo >= reach[0] - top and hi <= reach[1] + top:
            return [-2] * count
        count += 1


def _fits_four(lo: int, hi: int, lows: list[int]) -> bool:
    """Whether a top digit of four values (-2..1 or -1..2) reaches ``lo..hi``."""
    least = sum(d * 4**k for k, d in enumerate(lows))
    most = least + 4 ** len(lows) - 1
    step = 4 ** len(lows)
    return any(lo >= least + d * step and hi <= most + (d + 3) * step for d in (-2, -1))


def _packed(values: np.ndarray, lows: list[int]) -> Recoding:
    """Each digit in its own bits: as few as the digits that occur need."""
    planes: list[Plane] = []
    rest, at = values, 0
    for k in range(len(lows) + 1):
        if k < len(lows):
            digit = (rest - lows[k]) % 4 + lows[k]
            rest = (rest - digit) // 4
        else:
            digit = rest
        found = [int(d) for d in np.unique(digit)]
        width = max(1, (len(found) - 1).bit_length())
        alphabet = _alphabet(found, width)
        least = lows[k] if k < len(lows) else 0
        planes.append(_DigitPlane(2 * k, tuple(range(at, at + width)), alphabet, least))
        at += width
    return Recoding(tuple(planes), at)


@dataclass(frozen=True)
class _DigitPlane(Plane):
    least: int = 0


def _alphabet(found: list[int], width: int) -> tuple[int | None, ...]:
    """Codes for digits: two's complement where two bits tell them apart, else ascending order."""
    table: list[int | None] = [None] * (1 << width)
    wrap = width == 2 and len({digit & 3 for digit in found}) == len(found)
    for index, digit in enumerate(found):
        table[digit & 3 if wrap else index] = digit
    return tuple(table)


def _split(weights: np.ndarray, planes: tuple[Plane, ...]) -> list[np.ndarray]:
    """Digits of ``weights``, least significant first."""
    digits, rest = [], np.asarray(weights, dtype=np.int64)
    for k, plane in enumerate(planes):
        if k == len(planes) - 1:
            digits.append(rest)
            break
        least = getattr(plane, "least", -2)
        digit = (rest - least) % 4 + least
        digits.append(digit)
        rest = (rest - digit) // 4
    return digits


def weight_shape(weights: np.ndarray) -> Shape:
    """The narrowest shape of the values in ``weights``."""
    return range_shape(int(weights.min()), int(weights.max()))
