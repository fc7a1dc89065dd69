"""Data sets as labelled frames of spikes, for circuits that learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign.errors import UsageError
from codesign.train.spiking.task import load_task


def save_lessons(
    dataset: str, out: Path, *, steps: int, encoding: str, seed: int, data: Path | None
) -> dict[str, int]:
    """Write ``out``: frames, test_frames uint8 [n, steps, features] of 0 and 1, labels and
    test_labels; how many frames there are of each."""
    if out.suffix != ".npz":
        raise UsageError("labelled frames are written as .npz", where=str(out))
    task = load_task(dataset, encoding, steps, data, seed)
    if task.encoding.word_given != (1, False):
        raise UsageError(
            f"'{task.encoding.kind}' codes are no spikes of 0 and 1",
            hint="layers that learn read spikes: use latency or rate",
        )
    frames, tests = (np.asarray(task.encoding(x)) for x in (task.train_x, task.test_x))
    if max(frames.max(), tests.max()) > 1:
        raise UsageError(f"'{dataset}' counts up to {int(frames.max())} events a step")
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        frames=frames.astype(np.uint8),
        labels=task.train_y,
        test_frames=tests.astype(np.uint8),
        test_labels=task.test_y,
    )
    return {"frames": len(frames), "test_frames": len(tests)}
