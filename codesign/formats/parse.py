"""Formats as people write them: ``int16:2^-10``, ``uint8:1/255``, ``uint8:0.5:128``."""

from __future__ import annotations

import re

import numpy as np

from codesign.errors import UsageError
from codesign.formats.scaled_int import ScaledInt

_TEXT = re.compile(r"(u?int)(\d{1,2})(?::([^:]+))?(?::([+-]?\d{1,9}))?")


def parse_format(text: str) -> ScaledInt:
    """``[u]intBITS[:SCALE[:ZERO_POINT]]``; ``UsageError`` for anything else.

    ``SCALE`` is ``2^N``, a fraction ``A/B`` or a decimal number (default 1), rounded to float32.
    """
    found = _TEXT.fullmatch(text.strip())
    if found is None:
        raise _error(text, "it does not read [u]intBITS[:SCALE[:ZERO_POINT]]")
    kind, bits, scale, zero = found.groups()
    if not 1 <= int(bits) <= 32:
        raise _error(text, f"{bits} bits are not 1 to 32")
    step = _scale(text, (scale or "1").strip())
    return ScaledInt.of_bits(
        int(bits), signed=kind == "int", scale=(step,), zero_point=int(zero or 0)
    )


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
            rounded = float(np.float32(value))
    except (ValueError, OverflowError, ZeroDivisionError):
        raise _error(text, f"'{scale}' is no number") from None
    if not 0 < rounded < float("inf"):
        raise _error(text, f"the scale {scale} is not positive, or not a float32 number")
    return rounded


def _error(text: str, what: str) -> UsageError:
    return UsageError(
        f"cannot read the format '{text[:60]}': {what}",
        hint="write for example int16:2^-10, uint8:1/255 or uint8:0.5:128",
    )
