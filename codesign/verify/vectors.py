"""Test vectors: recorded data, the user's own, and random codes with every corner."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codesign.errors import UsageError
from codesign.formats import Format, Real
from codesign.ir import Graph
from codesign.ops.quantizer import Quantizer
from codesign.ops.rearrange import Rearrange
from codesign.ops.reshape import Reshape
from codesign.plan import Circuit
from codesign.reference import run
from codesign.verify.event_file import EventFile


@dataclass(frozen=True)
class VectorSet:
    """Inputs of one kind. ``floats`` feed the whole model, ``codes`` the circuit."""

    name: str
    codes: np.ndarray  # int64 [n, elements]
    floats: np.ndarray | None = None  # float32 [n, ...]
    labels: np.ndarray | None = None  # int64 [n]
    seed: int | None = None
    torch: dict[str, np.ndarray] = field(default_factory=dict)  # ONNX tensor -> float32

    def parts(self, frames: int) -> Iterator[VectorSet]:
        """Pieces of at most ``frames`` frames."""
        for start in range(0, len(self.codes), frames):
            cut = slice(start, start + frames)
            yield VectorSet(
                self.name,
                self.codes[cut],
                None if self.floats is None else self.floats[cut],
                None if self.labels is None else self.labels[cut],
                self.seed,
                {name: array[cut] for name, array in self.torch.items()},
            )


def load_inputs(path: Path) -> np.ndarray | EventFile:
    """Read a .npy file of numbers, or an .npz archive of events; ``UsageError`` when it is
    neither."""
    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UsageError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    except (ValueError, EOFError) as error:  # numpy's words advise to unpickle it: never
        raise UsageError(
            "not a .npy file of numbers",
            where=str(path),
            hint="write it with numpy.save",
        ) from error
    if not isinstance(array, np.ndarray):
        with array:
            return EventFile.of(_read(array, path), str(path))
    return array


def _read(archive: Any, path: Path) -> dict[str, np.ndarray]:
    try:
        return {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(
            "the archive is damaged, or holds objects instead of numbers",
            where=str(path),
            hint="write it with numpy.savez, of arrays of numbers",
        ) from error


def user_vectors(circuit: Circuit, graph: Graph, given: np.ndarray | EventFile) -> VectorSet:
    """``given`` as float inputs of the model; ``UsageError`` for a wrong shape or type."""
    if isinstance(given, EventFile):
        codes = given.codes(circuit)
        return VectorSet("user events", codes, host_floats(circuit, codes))
    value = graph.values[graph.inputs[0]]
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise UsageError(
            f"inputs are of type {array.dtype}", hint="give float32 numbers as the model takes them"
        )
    if array.shape[1:] == value.shape[1:] and array.ndim == len(value.shape) and array.ndim > 1:
        array = array[None]  # a single frame
    if array.ndim < 2 or array.shape[1:] != value.shape or not len(array):
        raise UsageError(
            f"inputs have shape {array.shape}; the model takes (frames, "
            f"{', '.join(str(s) for s in value.shape)})"
        )
    floats = array.astype(np.float32)
    if (floats != array).any():
        raise UsageError("inputs are not all float32 numbers (NaN, or too precise)")
    format = value.format
    if (
        not isinstance(format, Real)
        and ((floats != np.rint(floats)) | (floats < format.lo) | (floats > format.hi)).any()
    ):
        raise UsageError(
            f"inputs are not all {format.label()} codes",
            hint=f"the network takes whole numbers from {format.lo} to {format.hi}",
        )
    return VectorSet("user inputs", host_codes(circuit, floats), floats)


def host_codes(circuit: Circuit, floats: np.ndarray) -> np.ndarray:
    """Codes [n, elements] the host sends for inputs of the network: float32, also where they are
    whole numbers because the network takes integers."""
    graph, name = circuit.graph, circuit.source.name
    real = isinstance(graph.values[graph.inputs[0]].format, Real)
    given = floats if real else floats.astype(np.int64)
    codes = run(graph, {graph.inputs[0]: given}, keep=[name])[name]
    return codes.reshape(len(floats), -1)


def random_vectors(circuit: Circuit, count: int, seed: int) -> VectorSet:
    """Random codes; the first frames hold every corner code in every place, and their mixes."""
    rng = np.random.default_rng(seed)
    format, elements = circuit.source.format, circuit.source.elements
    codes = rng.integers(format.lo, format.hi + 1, (count, elements), dtype=np.int64)
    corners = corner_frames(format, elements, rng)[:count]
    codes[: len(corners)] = corners
    return VectorSet("random codes", codes, host_floats(circuit, codes), seed=seed)


def random_inputs(circuit: Circuit, count: int, seed: int) -> VectorSet:
    """Random float inputs, for a host that does more than quantize, e.g. ``2 * x - 1`` first.

    They lie between, and a little beyond, the constants from which on the codes stay the same.
    """
    rng = np.random.default_rng(seed)
    shape = circuit.graph.values[circuit.graph.inputs[0]].shape
    steps = 2.0 ** np.arange(-14, 15)
    probes = np.concatenate([-steps[::-1], [0.0], steps])
    frames = np.broadcast_to(probes.reshape(-1, *[1] * len(shape)), (len(probes), *shape))
    codes = host_codes(circuit, frames.astype(np.float32))
    changes = np.flatnonzero((np.diff(codes, axis=0) != 0).any(axis=1))
    low, high = (probes[changes[0]], probes[changes[-1] + 1]) if changes.size else (-1.0, 1.0)
    floats = rng.uniform(low, high, (count, *shape)).astype(np.float32)
    return VectorSet("random inputs", host_codes(circuit, floats), floats, seed=seed)


def corner_frames(format: Format, elements: int, rng: np.random.Generator) -> np.ndarray:
    """Frames of one corner code each, then 64 random mixes of corner codes."""
    corners = format.corner_codes()
    constant = np.repeat(corners[:, None], elements, axis=1)
    return np.concatenate([constant, rng.choice(corners, (64, elements))])


def host_floats(circuit: Circuit, codes: np.ndarray) -> np.ndarray | None:
    """Float inputs that the host quantizes to exactly ``codes``; None when there are none.

    Found only where the host does nothing but move and quantize; checked by quantizing again.
    """
    graph, source = circuit.graph, circuit.source
    values = source.format.decode(codes.reshape(-1, *source.shape)).reshape(len(codes), -1)
    node = graph.producer(source.name)
    while node is not None:
        before = graph.ins(node)[0]
        if isinstance(node.op, Rearrange):
            index = node.op.index.reshape(-1)
            if sorted(index.tolist()) != list(range(before.elements)):
                return None
            moved = np.empty_like(values)
            moved[:, index] = values
            values = moved
        elif not isinstance(node.op, Quantizer | Reshape):
            return None
        node = graph.producer(before.name)
    floats = values.reshape(-1, *graph.values[graph.inputs[0]].shape)
    return floats if (host_codes(circuit, floats) == codes).all() else None
