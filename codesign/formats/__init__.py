"""Number formats. One file each; a new format is one new file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from codesign.formats.base import Format, bits_for
from codesign.formats.parse import (
    FORMS,
    MAX_ACTIVATION_BITS,
    QuantFormat,
    parse_format,
)
from codesign.formats.real import Real
from codesign.formats.scaled_int import ScaledInt

_KINDS: dict[str, Callable[[dict[str, object]], Format]] = {
    "scaled_int": ScaledInt.from_json,
    "real": Real.from_json,
}


def from_json(data: dict[str, object]) -> Format:
    """Rebuild a format from :meth:`Format.to_json`; ``ValueError`` for an unknown kind."""
    kind = str(data.get("kind"))
    if kind not in _KINDS:
        raise ValueError(f"unknown format kind {kind!r}; known: {', '.join(sorted(_KINDS))}")
    return _KINDS[kind](data)


__all__ = [
    "FORMS",
    "MAX_ACTIVATION_BITS",
    "Format",
    "QuantFormat",
    "Real",
    "ScaledInt",
    "bits_for",
    "from_json",
    "parse_format",
]
