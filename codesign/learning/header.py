"""What is said of a frame, as spikes before its own: whether to learn it, and its target."""

from __future__ import annotations

import numpy as np


def header_bits(classes: int) -> int:
    """Spikes of a header: ``learn``, then the target, low bits first."""
    return 1 + max(1, (classes - 1).bit_length())


def header_rows(classes: int, elements: int) -> int:
    """Rows of ``elements`` spikes that a header takes."""
    return -(-header_bits(classes) // elements)


def with_header(
    spikes: np.ndarray, learn: np.ndarray, target: np.ndarray, classes: int
) -> np.ndarray:
    """Spikes [frames, steps, elements] with the header rows of each frame before them, int64.

    ``learn``: [frames] of 0 and 1; ``target``: [frames] of ``0..classes - 1``.
    """
    frames, _, elements = spikes.shape
    target, learn = np.asarray(target), np.asarray(learn)
    if len(target) != frames or len(learn) != frames:
        raise ValueError(f"{frames} frames, {len(target)} targets, {len(learn)} told to learn")
    bad = np.flatnonzero((learn != 0) & (learn != 1))
    if bad.size:
        first = int(bad[0])
        raise ValueError(f"'learn' of frame {first} is {int(learn[first])}, not 0 or 1")
    check_target(target, classes)
    rows = np.zeros((frames, header_rows(classes, elements) * elements), np.int64)
    rows[:, 0] = learn
    for bit in range(header_bits(classes) - 1):
        rows[:, 1 + bit] = target >> bit & 1
    return np.concatenate([rows.reshape(frames, -1, elements), spikes.astype(np.int64)], axis=1)


def check_target(target: np.ndarray, classes: int) -> None:
    """``ValueError`` for the first of ``target`` [frames] that is not of ``0..classes - 1``."""
    bad = np.flatnonzero((target < 0) | (target >= classes))
    if bad.size:
        first = int(bad[0])
        raise ValueError(
            f"the target of frame {first} is {int(target[first])}, not a class of 0..{classes - 1}"
        )


def check_bits(frames: np.ndarray, classes: int) -> None:
    """``ValueError`` for the first of ``frames`` int [n, rows, elements] that has another code than
    0 and 1 in its header."""
    rows = header_rows(classes, frames.shape[2])
    said = frames[:, :rows].reshape(len(frames), -1)[:, : header_bits(classes)]
    bad = np.argwhere((said != 0) & (said != 1))
    if len(bad):
        frame, bit = bad[0]
        raise ValueError(
            f"bit {bit} of the header of frame {frame} is {said[frame, bit]}, not 0 or 1"
        )


def split(frames: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(spikes, learn, target) of frames with headers, int64 [frames, rows + steps, elements]."""
    rows = header_rows(classes, frames.shape[2])
    said = frames[:, :rows].reshape(len(frames), -1)
    bits = said[:, 1 : header_bits(classes)]
    return frames[:, rows:], said[:, 0] != 0, (bits << np.arange(bits.shape[1])).sum(axis=1)
