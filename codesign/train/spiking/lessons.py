"""Data sets as labelled frames of spikes, for circuits that learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codesign.errors import UsageError
from codesign.train.spiking.task import load_task


def save_lessons(
    dataset: str,
    out: Path,
    *,
    steps: int,
    encoding: str,
    seed: int,
    data: Path | None,
    events: bool = False,
    codes: bool = False,
) -> dict[str, int]:
    """Write ``out``: frames, test_frames uint8 [n, steps, features] of 0 and 1, labels and
    test_labels; how many frames there are of each. ``events``: in the place of frames int64 vectors
    frame, time and address, one entry for each spike, in this order (and test_frame, ...).
    ``codes``: frames hold what an encoder in the circuit reads, int64 [n, features], of a signal
    [n, steps, features]."""
    if out.suffix != ".npz":
        raise UsageError("labelled frames are written as .npz", where=str(out))
    task = load_task(dataset, encoding, steps, data, seed)
    if task.encoding.word_given != (1, False):
        raise UsageError(
            f"'{task.encoding.kind}' codes are no spikes of 0 and 1",
            hint="layers that learn read spikes: use latency or rate",
        )
    if codes and (events or task.encoding.kind == "events"):
        raise UsageError("events are not encoded: leave --encoder out")
    encode = task.encoding.codes if codes else task.encoding
    frames, tests = (np.asarray(encode(x)) for x in (task.train_x, task.test_x))
    if not codes and max(frames.max(), tests.max()) > 1:
        raise UsageError(f"'{dataset}' counts up to {int(frames.max())} events a step")
    out.parent.mkdir(parents=True, exist_ok=True)
    arrays = _arrays("", frames, events) | _arrays("test_", tests, events)
    np.savez_compressed(out, labels=task.train_y, test_labels=task.test_y, **arrays)  # type: ignore[arg-type]
    return {"frames": len(frames), "test_frames": len(tests)}


def _arrays(prefix: str, frames: np.ndarray, events: bool) -> dict[str, np.ndarray]:
    if not events:
        spikes = frames.min() >= 0 and frames.max() <= 1
        return {f"{prefix}frames": frames.astype(np.uint8 if spikes else np.int64)}
    columns = zip(("frame", "time", "address"), np.nonzero(frames), strict=True)
    return {prefix + name: column for name, column in columns}
