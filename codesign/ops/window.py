"""What a sliding window costs, before any tool runs."""

from __future__ import annotations

from typing import Any

from codesign.ops.area import block_rams
from codesign.schema import Cost


def window_cost(window: Any) -> Cost:
    """Estimated resources of a ``TapWindow`` or ``PixelWindow`` (:mod:`codesign.hdl`).

    Bits in registers and padding multiplexers are counted; the counters' share was read off
    synthesised windows. ``python -m benchmarks.calibrate_windows`` shows the errors: LUTs within
    30 % (8 % on average), registers within 15 %, block RAM exact.
    """
    from codesign.hdl.memories import style_for

    lut, ff, bram = window.fabric()
    for words, bits in window.memories():
        if style_for(words, bits) == "block":
            bram += block_rams(words, bits)
        else:
            lut += 2 * bits * -(-words // 16)
            ff += bits
    return Cost(lut=round(lut), ff=round(ff), bram=bram)
