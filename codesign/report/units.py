"""Numbers as people read them; shared by the terminal and the page."""

from __future__ import annotations

NOT_RUN = "not run"


def si(value: float, digits: int = 3) -> str:
    """``1562500`` as ``1.56 M``: three significant digits and a decimal prefix."""
    for factor, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{significant(value / factor, digits)}{prefix}"
    return significant(value, digits)


def significant(value: float, digits: int = 3) -> str:
    """Fixed notation with ``digits`` significant digits, whole numbers in full."""
    whole = len(str(int(abs(value))))
    return f"{value:,.{max(0, digits - whole)}f}"


def count(value: int | None) -> str:
    """``12,345``; an em dash for nothing."""
    return "—" if value is None else f"{value:,}"


def percent(value: float | None, digits: int = 1) -> str:
    """A percentage (0 … 100); tiny shares do not round to nothing."""
    if value is None:
        return "—"
    if value == 0:
        return "0 %"
    if value < 10**-digits / 2:
        return f"< {10**-digits:g} %"
    return f"{value:.{digits}f} %"


def share(value: float | None) -> str:
    """An accuracy (0 … 1) in percent."""
    return "—" if value is None else f"{100 * value:.2f} %"


def signed(value: float | None) -> str:
    """A difference in percent with its sign; typographic minus."""
    if value is None:
        return "—"
    rounded = round(value)
    return "0 %" if rounded == 0 else f"{rounded:+d} %".replace("-", "−")


def seconds(value: float) -> str:
    """Wall clock time: ``0.42 s``, ``12 s``, ``3 min 10 s``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 90:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


def folding(style: str, pe: int, simd: int, pixels: int = 1) -> str:
    """How the multipliers are arranged: ``4 × 8``, ``4 × 8 · 2 px`` for pixels side by side,
    ``64 lanes`` of synapses, or nothing for a layer without any."""
    if style == "event":
        return f"{pe} lane{'s' * (pe > 1)}"
    beside = f" · {pixels} px" if pixels > 1 else ""
    return "" if not pe * simd else f"{pe} × {simd}{beside}"


def printable(text: str) -> str:
    """``text`` without control characters (a layer's name may hold anything)."""
    return "".join(c if c.isprintable() else "�" for c in text)
