"""Formats as people write them: ``int16:2^-10``, ``uint8:0.037:128``, ``int8:2^-7:narrow``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from codesign.errors import UsageError
from codesign.formats.scaled_int import ScaledInt

#: What may be written, for messages and help.
FORMS = (
    "int16:2^-10, uint8:1/255, uint8:0.037:128 (zero point), int8:2^-7:narrow, bipolar:0.5, "
    "ternary:0.5, bool, or uint8:0.1,0.2,0.4 (a scale per channel)"
)
#: Names for integers that have one: bits, signed, narrow.
_NAMES = {"bipolar": (1, True, False), "ternary": (2, True, True), "bool": (1, False, False)}
_INTEGER = re.compile(r"(u?)int(\d{1,2})")
_ZERO_POINT = re.compile(r"[+-]?\d{1,9}")
#: float32 holds every integer up to 2^24: a wider range has codes it cannot name.
MAX_ACTIVATION_BITS = 24
MAX_ZERO_POINT = 1 << 24


@dataclass(frozen=True)
class QuantFormat:
    """The codes of an activation quantizer, as QONNX's ``Quant`` and ``BipolarQuant`` have them.

    ``scale``: positive float32 numbers, one or one per channel. ``narrow``: without the last
    code of one side, -127..127 instead of -128..127. Signed codes of one bit are -1 and +1.
    :func:`parse_format` reads what ``str`` writes.

    Raises
    ------
    ValueError
        For what no quantizer has.
    """

    bits: int
    signed: bool = True
    narrow: bool = False
    scale: tuple[float, ...] = (1.0,)
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_ACTIVATION_BITS:
            raise ValueError(f"{self.bits} bits are not 1 to {MAX_ACTIVATION_BITS}")
        if self.bits == 1 and self.narrow:
            raise ValueError("one bit has no narrow range")
        if self.bipolar and self.zero_point:
            raise ValueError("-1 and +1 have no zero point")
        if abs(self.zero_point) > MAX_ZERO_POINT:
            raise ValueError(f"the zero point {self.zero_point} exceeds {MAX_ZERO_POINT}")
        for scale in self.scale:
            if not 0 < scale < math.inf or float(np.float32(scale)) != scale:
                raise ValueError(f"the scale {scale} is not positive, or not a float32 number")
        if not self.scale:
            raise ValueError("there is no scale")

    @property
    def bipolar(self) -> bool:
        """Whether the codes are -1 and +1."""
        return self.signed and self.bits == 1

    @property
    def codes(self) -> ScaledInt:
        """The codes and what they stand for."""
        if self.bipolar:
            return ScaledInt(-1, 1, self.scale)
        return ScaledInt.of_bits(
            self.bits,
            signed=self.signed,
            narrow=self.narrow,
            scale=self.scale,
            zero_point=self.zero_point,
        )

    def __str__(self) -> str:
        kind = (self.bits, self.signed, self.narrow)
        name = next((n for n, has in _NAMES.items() if has == kind), "")
        parts = [name or f"{'' if self.signed else 'u'}int{self.bits}"]
        if self.scale != (1.0,) or self.zero_point:
            parts.append(",".join(map(_scale_text, self.scale)))
        if self.zero_point:
            parts.append(str(self.zero_point))
        if self.narrow and not name:
            parts.append("narrow")
        return ":".join(parts)


def parse_format(text: str) -> QuantFormat:
    """Read a format: ``KIND[:SCALE[,SCALE...][:ZERO_POINT]][:narrow]``.

    Parameters
    ----------
    text
        ``KIND`` is ``intN``, ``uintN``, ``bipolar`` (-1 and +1), ``ternary`` (-1, 0, +1) or
        ``bool`` (0 and 1). ``SCALE`` is ``2^N``, a fraction ``A/B`` or a decimal number (default
        1), rounded to float32; several are one per channel.

    Raises
    ------
    UsageError
        For anything else.
    """
    kind, *fields = (part.strip() for part in text.strip().split(":"))
    found = _INTEGER.fullmatch(kind)
    if found is None and kind not in _NAMES:
        raise _error(text, "it starts with intN, uintN, bipolar, ternary or bool")
    bits, signed, narrow = (int(found[2]), not found[1], False) if found else _NAMES[kind]
    if fields and fields[-1] == "narrow":
        fields, narrow = fields[:-1], True
    if len(fields) > 2:
        raise _error(text, f"'{fields[2]}' follows the zero point")
    if len(fields) > 1 and not _ZERO_POINT.fullmatch(fields[1]):
        raise _error(text, f"the zero point '{fields[1]}' is no integer")
    scale = tuple(_scale(text, part.strip()) for part in fields[0].split(",")) if fields else (1.0,)
    try:
        return QuantFormat(bits, signed, narrow, scale, int(fields[1]) if len(fields) > 1 else 0)
    except ValueError as error:
        raise _error(text, str(error)) from None


def _scale(text: str, scale: str) -> float:
    try:
        if scale.startswith("2^"):
            value = 2.0 ** int(scale[2:])
        elif "/" in scale:
            above, below = scale.split("/")
            value = float(above) / float(below)
        else:
            value = float(scale)
        with np.errstate(over="ignore"):
            return float(np.float32(value))
    except (ValueError, OverflowError, ZeroDivisionError):
        raise _error(text, f"'{scale}' is no number") from None


def _scale_text(scale: float) -> str:
    """The shortest text that is ``scale``, a float32 number, again."""
    mantissa, exponent = math.frexp(scale)
    if mantissa == 0.5 and exponent != 1:
        return f"2^{exponent - 1}"
    return str(np.float32(scale)).removesuffix(".0")


def _error(text: str, what: str) -> UsageError:
    return UsageError(f"cannot read the format '{text[:60]}': {what}", hint=f"write {FORMS}")
