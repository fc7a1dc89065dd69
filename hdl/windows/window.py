"""What both kinds of sliding window check and share."""

from codesign.hdl.windows.geometry import Geometry


def check_lanes(channels: int, lanes: int) -> None:
    """``ValueError`` unless ``lanes`` divide ``channels``."""
    if lanes < 1 or channels % lanes:
        raise ValueError(f"lanes must divide the {channels} channels, got {lanes}")


def check_padding(g: Geometry) -> None:
    """``ValueError`` when opposite pads together exceed the kernel's reach."""
    top, left, bottom, right = g.pads
    if top + bottom > g.reach[0] or left + right > g.reach[1]:
        raise ValueError(
            f"padding {g.pads} exceeds the reach {g.reach} of a {g.kernel[0]} x {g.kernel[1]} "
            "kernel: pad the map before the window"
        )


def padded_range(g: Geometry, lo: int, hi: int, pad_code: int) -> tuple[int, int]:
    """What a tap may read: the codes, and ``pad_code`` where the window has padding."""
    return (min(lo, pad_code), max(hi, pad_code)) if any(g.pads) else (lo, hi)
