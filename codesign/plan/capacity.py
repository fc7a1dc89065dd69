"""Capacity before work: what a network needs at least, known before a layer is folded or solved."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from codesign.errors import OverBudget
from codesign.manifest import BoardInfo
from codesign.ops.area import BRAM_SHAPES, ROM_LUTS, least_unrolled_luts
from codesign.ops.weighted import Weighted
from codesign.plan.partition import Circuit, Layer
from codesign.schema import Cost

#: Bits of weights in one block RAM of the shape that holds most, and in one LUT.
BRAM_BITS = max(deep * wide for deep, wide in BRAM_SHAPES)
LUT_BITS = 16 / ROM_LUTS


def check_capacity(circuit: Circuit, unrolled: Collection[str], board: BoardInfo) -> None:
    """Refuse a network whose weights alone do not fit, within seconds and whatever its folding.

    Parameters
    ----------
    unrolled:
        Names of the layers that will be unrolled; the others keep their weights in memories.

    Raises
    ------
    OverBudget
        Names the largest layer. What passes may still not fit: only its plan tells.
    """
    room = board.capacity
    layers = [layer for layer in circuit.layers if isinstance(layer.head, Weighted)]
    luts = {x.name: unrolled_luts(x, room.lut) for x in layers if x.name in unrolled}
    bits = {x.name: weight_memory_bits(x) for x in layers if x.name not in unrolled}
    most = most_weight_bits(room)
    if luts and sum(luts.values()) > room.lut:
        raise OverBudget(
            f"unrolled, the network needs at least {sum(luts.values())} LUTs of {room.lut}; "
            f"'{_largest(luts)}' alone {max(luts.values())}",
            where=f"board {board.name}",
            hint=_folded_hint(sum(weight_memory_bits(x) for x in layers), most),
        )
    if sum(bits.values()) > most:
        raise OverBudget(
            f"the weights are {_mbit(sum(bits.values()))}; block RAMs and LUTs together hold "
            f"{_mbit(most)}; '{_largest(bits)}' alone has {_mbit(max(bits.values()))}",
            where=f"board {board.name}",
            hint=f"no folding changes that: {SMALLER}",
        )


SMALLER = "fewer or narrower weights, or a larger board"


def weight_memory_bits(layer: Layer) -> int:
    """Bits that the weights of a folded layer take at least, however they are recoded."""
    from codesign.hdl.multiplier import recode

    op = layer.head
    assert isinstance(op, Weighted)
    span = op.loadable
    known = op.weights if span is None else np.arange(span.lo, span.hi + 1)
    return int(op.weights.size) * min(recode(known, kind).width for kind in ("lut", "dsp"))


def unrolled_luts(layer: Layer, enough: int) -> int:
    """LUTs that an unrolled layer takes at least: equal rows and columns are counted once, which
    is looked for only where they are more than ``enough`` else."""
    op = layer.head
    assert isinstance(op, Weighted)
    blocks, bits = op.blocks, layer.source.format.bits
    least = least_unrolled_luts(blocks, bits)
    if least <= enough:
        return least
    return sum(least_unrolled_luts(_distinct(_distinct(block).T), bits) for block in blocks)


def most_weight_bits(room: Cost) -> int:
    """Bits of weights that block RAMs and LUTs hold, nothing else in them."""
    return room.bram * BRAM_BITS + int(room.lut * LUT_BITS)


def _distinct(matrix: np.ndarray) -> np.ndarray:
    """The rows that differ in more than sign and a power of two: the others are wires."""
    found: dict[bytes, np.ndarray] = {}
    for row in matrix[matrix.any(axis=1)]:
        low = int(np.bitwise_or.reduce(row))
        shifted = (row >> ((low & -low).bit_length() - 1)) * np.sign(row[np.flatnonzero(row)[0]])
        found.setdefault(shifted.tobytes(), shifted)
    return np.array([*found.values()]).reshape(-1, matrix.shape[1])


def _largest(sizes: dict[str, int]) -> str:
    return max(sizes, key=lambda name: sizes[name])


def _mbit(bits: int) -> str:
    return f"{bits / 1e6:.1f} Mbit"


def _folded_hint(bits: int, most: int) -> str:
    if bits > most:
        return f"folded, its weights do not fit either: {SMALLER}"
    return "fold it: leave --unrolled out, or unroll its small layers only, in a plan file"


__all__ = ["check_capacity", "most_weight_bits", "unrolled_luts", "weight_memory_bits"]
