"""Labelled spikes to learn from, and to test with: an ``.npz`` of plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codesign.errors import UsageError
from codesign.frontend import import_qonnx
from codesign.passes import lower
from codesign.plan import partition
from codesign.train.golden import load_golden
from codesign.verify.event_file import EventFile
from codesign.verify.vectors import host_codes

#: Fewer frames could not be timed.
FEWEST = 10
#: Least and greatest code of frames of spikes.
SPIKES = (0, 1)
FORMAT = (
    "an .npz with frames (samples, steps, inputs) of 0 and 1, or of the codes that the circuit "
    "encodes, and labels (samples), optionally "
    "test_frames and test_labels; or with frame, time, address (one entry a spike, sorted) in the "
    "place of frames, and test_frame, ...; 'codesign learning-data' writes one"
)


@dataclass(frozen=True, eq=False)
class Lessons:
    """``x``: int64 [n, steps, inputs]; ``y``: int64 [n]; and the same to test with. ``name``: what
    the report calls them."""

    name: str
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def read_lessons(
    path: Path, shape: tuple[int, int], classes: int, span: tuple[int, int] = SPIKES
) -> Lessons:
    """Those of a file, frames of codes in ``span`` or address events, checked for a network of
    ``shape`` (steps, inputs); without a test split every fifth sample is for test."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except OSError as error:
        raise UsageError(f"cannot read: {error}", where=str(path), hint=FORMAT) from error
    except (ValueError, EOFError, AttributeError) as error:
        raise UsageError(f"not an .npz of arrays: {error}", where=str(path), hint=FORMAT) from error
    if "address" in found and span != SPIKES:
        raise UsageError(
            f"events, but the circuit encodes codes of {span[0]}..{span[1]} itself",
            where=str(path),
            hint=FORMAT,
        )
    if "address" in found:
        found = _from_events(found, shape, path)
    for name in ("frames", "labels"):
        if name not in found:
            raise UsageError(f"array '{name}' is missing", where=str(path), hint=FORMAT)
    x, y = _checked(found, "frames", "labels", shape, classes, path, span)
    if "test_frames" in found:
        return Lessons(path.name, x, y, *_checked(
            found, "test_frames", "test_labels", shape, classes, path, span
        ))  # fmt: skip
    return _cut(path.name, x, y)


def _from_events(
    found: dict[str, np.ndarray], shape: tuple[int, int], path: Path
) -> dict[str, np.ndarray]:
    """The arrays of a file of events, as those of one of frames."""
    made: dict[str, np.ndarray] = {}
    for prefix in ("", "test_"):
        part = {
            name.removeprefix(prefix): array
            for name, array in found.items()
            if name.startswith("test_") == bool(prefix)
        }
        if not part:
            continue
        where, labels = f"{path}{', arrays test_...' if prefix else ''}", part.pop("labels", None)
        if labels is None or labels.ndim != 1:
            what = "is missing" if labels is None else f"is {labels.shape}, not one for each frame"
            raise UsageError(f"array '{prefix}labels' {what}", where=str(path), hint=FORMAT)
        events = EventFile.of({"frames": np.array(len(labels)), **part}, where)
        if events.frames != len(labels):
            raise UsageError(
                f"{events.frames} frames of events, but {len(labels)} labels", where=where
            )
        made[f"{prefix}frames"] = events.spikes(*shape, levels=1)
        made[f"{prefix}labels"] = labels
    return made


def recorded_lessons(folder: Path, shape: tuple[int, int], classes: int) -> Lessons:
    """The test split recorded with the model of ``folder``, cut in two."""
    path = folder / "golden.npz"
    golden = load_golden(path)
    circuit = partition(lower(import_qonnx(folder / "model.onnx").graph))
    codes = host_codes(circuit, golden.test_x).reshape(-1, *shape)
    span = circuit.source.format.lo, circuit.source.format.hi
    arrays = {"frames": codes, "labels": golden.test_y}
    return _cut("recorded split", *_checked(arrays, "frames", "labels", shape, classes, path, span))


def random_lessons(
    count: int, shape: tuple[int, int], classes: int, seed: int, span: tuple[int, int] = SPIKES
) -> Lessons:
    """``count`` frames of spikes (or of codes in ``span``) and their classes at random, silence and
    dense spikes too."""
    rng = np.random.default_rng(seed)
    if span != SPIKES:
        x = rng.integers(span[0], span[1] + 1, (count, *shape))
        x = np.where(rng.random(x.shape) < 0.2, rng.choice(span, (count, 1, 1)), x)
        return _cut("random codes", x, rng.integers(0, classes, count))
    rate = rng.choice([0.0, 0.05, 0.2, 0.5, 1.0], count, p=[0.05, 0.3, 0.4, 0.2, 0.05])
    x = (rng.random((count, *shape)) < rate[:, None, None]).astype(np.int64)
    return _cut("random spikes", x, rng.integers(0, classes, count))


def _cut(name: str, x: np.ndarray, y: np.ndarray) -> Lessons:
    test = np.arange(len(x)) % 5 == 4
    return Lessons(name, x[~test], y[~test], x[test], y[test])


def _checked(
    found: dict[str, np.ndarray],
    frames: str,
    labels: str,
    shape: tuple[int, int],
    classes: int,
    path: Path,
    span: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    if labels not in found:
        raise UsageError(f"array '{labels}' is missing", where=str(path), hint=FORMAT)
    x, y = found[frames], found[labels]
    if x.dtype.kind not in "iubf" or y.dtype.kind not in "iub":
        raise UsageError(f"'{frames}' and '{labels}' hold numbers", where=str(path), hint=FORMAT)
    if x.ndim == 2 and shape[0] == 1:
        x = x[:, None]
    if x.ndim != 3 or x.shape[1:] != shape or y.shape != (len(x),) or len(x) < FEWEST:
        raise UsageError(
            f"'{frames}' is {x.shape} and '{labels}' {y.shape}; the network takes "
            f"(samples, {shape[0]}, {shape[1]}), {FEWEST} samples or more",
            where=str(path),
            hint=FORMAT,
        )
    bad = np.argwhere((x != np.rint(x)) | (x < span[0]) | (x > span[1]))
    if len(bad):
        at = bad[0].tolist()
        what = "spikes are 0 and 1" if span == SPIKES else f"codes are {span[0]}..{span[1]}"
        raise UsageError(f"'{frames}' holds {x[tuple(at)]} at {at}: {what}")
    outside = np.flatnonzero((y < 0) | (y >= classes))
    if outside.size:
        first = int(outside[0])
        raise UsageError(
            f"label {first} is {int(y[first])}, the network has classes 0..{classes - 1}"
        )
    return x.astype(np.int64), y.astype(np.int64)
