"""When a rearranging buffer reads and frees its beats, and the fewest places that lose no cycle."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Schedule:
    """Steady-state bookkeeping of one frame: ``inputs`` beats in, ``len(source)`` beats out.

    ``source``: int64 [P], the input beat each output beat shows, -1 for padding.
    ``need``: int64 [P], the newest input beat that must be there before output ``p`` leaves. The
    first output waits for the frame's first beat even if it is padding, so that nothing leaves
    before a frame begins.
    ``keep``: int64 [P + 1], beats below ``keep[p]`` are not read by output ``p`` or later;
    ``keep[P]`` counts into the next frame.
    ``depth``: places, the fewest at which frames follow each other every max(inputs, P) cycles.
    """

    source: np.ndarray
    inputs: int
    need: np.ndarray
    keep: np.ndarray
    depth: int

    @property
    def before(self) -> int:
        """Beats of the frame before the first that is ever read."""
        return int(self.keep[0])

    @property
    def arrivals(self) -> np.ndarray:
        """int64 [P]: how many more beats must have arrived for each output than for the one
        before; for the first one, counted from the previous frame's last."""
        previous = np.concatenate([[self.need[-1] - self.inputs], self.need[:-1]])
        return np.asarray(self.need - previous)

    @property
    def frees(self) -> np.ndarray:
        """int64 [P]: how many places each output sets free."""
        return np.diff(self.keep)


def schedule(source: np.ndarray, inputs: int) -> Schedule:
    """Analyse ``source`` (int64 [P], beats 0..inputs-1 or -1) exactly."""
    source = np.asarray(source, dtype=np.int64)
    need = np.maximum.accumulate(np.maximum(source, 0))
    reads = np.where(source < 0, inputs, source)
    keep = np.minimum.accumulate(reads[::-1])[::-1]
    first = int(keep[0]) if (source >= 0).any() else inputs
    keep = np.concatenate([np.minimum(keep, inputs + first), [inputs + first]])
    keep[0] = first
    depth = _depth(need, keep, inputs)
    return Schedule(source, inputs, need, keep, depth)


def _depth(need: np.ndarray, keep: np.ndarray, inputs: int) -> int:
    """The least depth that sustains one frame every max(inputs, outputs) cycles.

    A beat written in cycle t is readable from t + 1 on, a place freed in cycle t is writable from
    t + 1 on. The side with more beats runs without a pause; the other one goes as late (writing)
    or as early (reading) as the data allow, which holds the fewest beats.
    """
    outputs, frames = len(need), 4
    offset = np.repeat(np.arange(frames), outputs)
    needs = np.tile(need, frames) + offset * inputs  # beat numbers over several frames
    freed = np.tile(keep[1:], frames) + offset * inputs
    if inputs >= outputs:
        steps = np.arange(len(needs))
        reads = np.maximum.accumulate(needs + 1 - steps) + steps
        writes = np.arange(frames * inputs)
    else:
        reads = np.arange(len(needs))
        # The output that first needs beat j or a later one.
        first = np.searchsorted(needs, np.arange(frames * inputs))
        deadline = np.where(first < len(reads), first, len(reads)) - 1
        backwards = np.arange(frames * inputs)
        writes = np.minimum.accumulate((deadline - backwards)[::-1])[::-1] + backwards
    # Beats set free by reads that lie before each write (in time order both ascend).
    done = np.searchsorted(reads, writes)  # reads in cycles < the write's
    gone = np.where(done > 0, freed[np.maximum(done - 1, 0)], keep[0])
    middle = slice(inputs, 2 * inputs)  # a frame in steady state
    needed = np.arange(frames * inputs)[middle] - gone[middle] + 1
    return max(1, int(needed.max()))
