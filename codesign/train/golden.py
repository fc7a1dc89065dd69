"""PyTorch's own results at every layer boundary, recorded beside the model.

The ``.npz`` holds plain arrays only (``allow_pickle=False``)::

    version      int64, 1
    test_x       float32 [n, ...]     inputs with labels
    test_y       int64 [n]            labels, empty when there are none
    random_x     float32 [m, ...]     seeded random inputs, corner codes and ties among them
    seed         int64                their seed
    tensors      str [k]              ONNX names of the boundaries, in execution order
    test_0 ...   float32 or int64     what PyTorch computed at tensors[0] for test_x
    random_0 ... the same for random_x
    float_accuracy, quantized_accuracy  float64, NaN when unknown

An array of few distinct values is written as two: ``NAME.values``, sorted, and ``NAME.index``,
unsigned, of the array's shape. Codes take a byte each before compression.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from codesign.errors import UnsupportedModel, UsageError
from codesign.formats import ScaledInt
from codesign.frontend import Imported, import_qonnx
from codesign.frontend.names import printable
from codesign.ops.quantizer import Quantizer
from codesign.reference import run
from codesign.reference.boundaries import OFF_GRID, Boundary, boundaries
from codesign.reference.explain import Explainer
from codesign.train.modes import evaluating
from codesign.train.needs import need

VERSION = 1
#: Far past saturation, next to nothing, and minus zero.
EXTREMES = np.array([1e6, -1e6, 1e-30, -1e-30, -0.0], dtype=np.float32)
#: Random frames recorded by default: as many as hold ``AT_ONCE`` codes, between these two counts.
RANDOM_FRAMES = (20, 10_000)
#: Codes of all recorded tensors that PyTorch computes in one call.
AT_ONCE = 1 << 24


@dataclass(frozen=True)
class Golden:
    """See the module's description; ``test`` and ``random`` map ONNX tensor name to array."""

    test_x: np.ndarray
    test_y: np.ndarray
    random_x: np.ndarray
    seed: int
    test: dict[str, np.ndarray] = field(default_factory=dict)
    random: dict[str, np.ndarray] = field(default_factory=dict)
    float_accuracy: float = float("nan")
    quantized_accuracy: float = float("nan")


def record_golden(
    module: Any,
    model: onnx.ModelProto,
    inputs: Any,
    *,
    labels: Any = None,
    random_frames: int | None = None,
    seed: int = 1,
    float_accuracy: float = float("nan"),
) -> Golden:
    """Run ``module`` (Brevitas) in PyTorch on ``inputs`` (float32, batch first) and on random
    inputs, and match each quantizer's output to a tensor of ``model`` (its export).

    ``labels``: the class of each of ``inputs``, integers [n]. The module is run in evaluation mode
    and has its own again afterwards (:func:`codesign.train.modes.evaluating`).
    ``random_frames``: by default 10,000, fewer where the tensors of a frame are large, because
    the circuit is compared on each: see :data:`RANDOM_FRAMES`.
    """
    test_x = np.ascontiguousarray(np.asarray(inputs, dtype=np.float32))
    imported = import_qonnx(model)
    batch = _frames_at_once(imported)
    if random_frames is None:
        low, high = RANDOM_FRAMES
        random_frames = max(low, min(high, batch))
    random_x = random_inputs(imported, test_x.shape[1:], random_frames, seed)
    labels = checked_labels(labels, len(test_x))
    with evaluating(module) as net:
        forward = _in_batches if _batch_first(net, random_x[:2]) else _alone
        test, random = forward(net, test_x, batch), forward(net, random_x, batch)
    names = match(imported, random_x[:64], [a[:64] for a in random])
    return Golden(
        test_x,
        labels,
        random_x,
        seed,
        {name: test[i] for name, i in names.items()},
        {name: random[i] for name, i in names.items()},
        float_accuracy,
        _accuracy(test[-1], labels),
    )


def checked_labels(labels: Any, frames: int) -> np.ndarray:
    """``labels`` as int64 [frames], or [0] for None; ``UsageError`` for anything else."""
    if labels is None:
        return np.zeros(0, dtype=np.int64)
    found = np.asarray(labels)
    if found.shape != (frames,) or found.dtype.kind not in "iu":
        raise UsageError(
            f"labels are {found.dtype} of shape {found.shape}, for {frames} frames",
            hint=f"give one class number a frame: integers of shape ({frames},)",
        )
    return found.astype(np.int64)


def _accuracy(output: np.ndarray, labels: np.ndarray) -> float:
    if len(labels) != len(output) or not len(labels):
        return float("nan")
    flat = output.reshape(len(output), -1)
    guess = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(1)
    return float((guess == labels).mean())


def random_inputs(imported: Imported, shape: tuple[int, ...], frames: int, seed: int) -> np.ndarray:
    """float32 [frames, *shape]: decoded random codes (corner codes often), exact ties between
    codes and their neighbours one ulp away, and values spread beyond the range, among them
    :data:`EXTREMES`."""
    rng = np.random.default_rng(seed)
    levels, step = _levels(imported)
    size = (frames, *shape)
    pick = rng.integers(0, len(levels) - 1, size=size, endpoint=True)
    corners = np.unique([0, 1, len(levels) // 2, len(levels) - 2, len(levels) - 1])
    corners = np.concatenate([corners, np.flatnonzero(np.abs(levels) <= 1)[:3]])
    pick = np.where(rng.random(size) < 0.25, rng.choice(corners, size=size), pick)
    x = levels[pick].astype(np.float32) * step
    above = levels[np.minimum(pick + 1, len(levels) - 1)]
    ties = (levels[pick] + np.where(above > levels[pick], above, levels[pick] + 1)) / 2 * step
    ties = ties.astype(np.float32)
    nudge = rng.integers(-1, 1, size=size, endpoint=True)
    towards = np.where(nudge > 0, np.float32(np.inf), np.float32(-np.inf))
    ties = np.where(nudge, np.nextafter(ties, towards), ties)
    middle, spread = (levels[0] + levels[-1]) / 2, max(levels[-1] - levels[0], 1)
    wide = ((middle + rng.normal(size=size) * spread / 2) * step).astype(np.float16)
    wide = np.where(rng.random(size) < 1 / 16, rng.choice(EXTREMES, size=size), wide)
    kind = (np.arange(frames) % 4).reshape(-1, *[1] * len(shape))
    mixed = np.where(kind == 2, ties, np.where(kind == 3, wide.astype(np.float32), x))
    mixed[: len(corners)] = (levels[corners[:frames]] * step).reshape(-1, *[1] * len(shape))
    return np.ascontiguousarray(mixed, dtype=np.float32)


def _levels(imported: Imported) -> tuple[np.ndarray, np.float32]:
    """What the first quantizer can emit, zero point subtracted: float64 ascending, in steps of
    the float32 that follows."""
    first = next((n.op for n in imported.graph.nodes if isinstance(n.op, Quantizer)), None)
    format = first.out_format if first is not None else None
    if first is None or not isinstance(format, ScaledInt):
        return np.array([-1.0, 0.0, 1.0]), np.float32(1)
    levels = first.levels
    codes = np.arange(format.lo, format.hi + 1) if levels is None else levels
    return codes.astype(np.float64) - format.zero_point, np.float32(format.scale[0])


def _frames_at_once(imported: Imported) -> int:
    """Frames whose recorded codes are ``AT_ONCE``, at least one."""
    points = boundaries(imported.graph, imported.tensor_names, imported.tensor_axes)
    return max(1, AT_ONCE // max(1, sum(p.value.elements for p in points)))


def _in_batches(net: Any, x: np.ndarray, batch: int) -> list[np.ndarray]:
    """:func:`_forward` on at most ``batch`` frames a call, so that memory stays bounded."""
    parts = [_forward(net, x[k : k + batch]) for k in range(0, max(1, len(x)), batch)]
    return [np.concatenate(same) for same in zip(*parts, strict=True)]


def _alone(net: Any, x: np.ndarray, _batch: int) -> list[np.ndarray]:
    """:func:`_forward` on one frame a call, the results stacked: [n, ...] whatever axis a tensor
    has its batch of one on."""
    return [np.stack(same) for same in zip(*(_forward(net, f[None]) for f in x), strict=True)]


def _batch_first(net: Any, two: np.ndarray) -> bool:
    """Whether every tensor of ``two`` frames has them on its first axis; attention moves it."""
    pairs = zip(_forward(net, two), _forward(net, two[:1]), strict=True)
    return all(both.shape == (2, *one.shape[1:]) for both, one in pairs)


def _forward(net: Any, x: np.ndarray) -> list[np.ndarray]:
    """Outputs of the activation quantizers in execution order, then the network's output."""
    torch = need("torch")
    kinds = _activation_proxies()
    taken: list[np.ndarray] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        taken.append(_array(output))

    hooks = [
        m.register_forward_hook(keep)
        for m in net.modules()
        if isinstance(m, kinds) and getattr(m, "is_quant_enabled", False)
    ]
    try:
        with torch.no_grad():
            output = net(torch.from_numpy(x))
    finally:
        for hook in hooks:
            hook.remove()
    return [*taken, _array(output)]


def _activation_proxies() -> Any:
    proxies = need("brevitas.proxy.runtime_quant")
    return proxies.ActQuantProxyFromInjectorBase, proxies.TruncQuantProxyFromInjector


def _array(output: Any) -> np.ndarray:
    """A tensor, a QuantTensor or a tuple whose first member is one, as float32 or int64."""
    while not hasattr(output, "detach") and isinstance(output, tuple):
        output = output[0]
    output = getattr(output, "value", output)
    array = output.detach().numpy()
    return np.array(array, dtype=np.float32 if array.dtype.kind == "f" else np.int64)


def match(imported: Imported, x: np.ndarray, found: list[np.ndarray]) -> dict[str, int]:
    """ONNX tensor name to index in ``found``: quantizers by their order, then the output.

    Each quantizer is computed from what PyTorch had at those before it, because codes its float32
    sums moved across a threshold change all that follows. Here the tensors only need names: a few
    differences that are not explained are for verify to find.
    """
    graph = imported.graph
    points = {p.value.name: p for p in
              boundaries(graph, imported.tensor_names, imported.tensor_axes)}  # fmt: skip
    given = {graph.inputs[0]: x.reshape(-1, *graph.values[graph.inputs[0]].shape)}
    matched: dict[str, int] = {}
    start = 0
    # Those without a name stand in for exact steps (frontend/coded.py): PyTorch has none.
    quantizers = [n.output for n in graph.nodes if isinstance(n.op, Quantizer)]
    for name in [q for q in quantizers if q in points]:
        point = points[name]
        wanted = point.of_value(run(graph, given, keep=[name])[name])
        theirs = [_codes(point, array) for array in found[start:]]
        explainer = Explainer(graph, name)
        sources = {s: given[s].reshape(len(x), -1) for s in explainer.sources if s in given}
        known = len(sources) == len(explainer.sources)
        index = _first_match(wanted, theirs, explainer.explains, sources if known else {})
        if index is None:
            raise UnsupportedModel(
                "PyTorch and the exported file compute different values here",
                where=f"tensor '{printable(point.tensor)}'",
                hint="export the very module that is recorded, in evaluation mode",
            )
        held = np.where(theirs[index] < OFF_GRID, theirs[index], wanted)
        given[name] = held.reshape(-1, *point.value.shape)
        start += index + 1
        matched[point.tensor] = start - 1
    matched[imported.model.graph.output[0].name] = len(found) - 1
    return matched


def _codes(point: Boundary, array: np.ndarray) -> np.ndarray:
    """What PyTorch recorded as codes of ``point``, empty for a tensor of another size."""
    fits = array.size == len(array) * point.value.elements
    return point.codes(array) if fits else np.zeros((0, 0), np.int64)


def _first_match(
    wanted: np.ndarray,
    theirs: list[np.ndarray],
    explains: Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray],
    sources: Mapping[str, np.ndarray],
) -> int | None:
    """The first array that is ``wanted`` but for a rare flipped code, or for any number of
    explained ones."""
    for index, array in enumerate(theirs):
        if array.shape == wanted.shape:
            same = array == wanted
            if same.mean() > 0.98 or (sources and (same | explains(sources, array)).all()):
                return index
    return None


def with_quantized_output(golden: Golden, imported: Imported, recorded: str) -> Golden:
    """Add what PyTorch's output ``recorded`` becomes in the quantizer that ends ``imported``."""
    name = imported.graph.outputs[0]
    node, value = imported.graph.producer(name), imported.graph.values[name]
    if recorded not in golden.test or node is None or not isinstance(node.op, Quantizer):
        return golden
    op, tensor = node.op, imported.tensor_names[name]
    axes = imported.tensor_axes.get(name) or tuple(range(len(value.shape)))

    def quantized(floats: np.ndarray) -> np.ndarray:
        given = floats.reshape(len(floats), *(value.shape[a] for a in axes))
        inner = given.transpose(0, *(1 + int(a) for a in np.argsort(axes)))
        found = value.format.decode(op.evaluate(inner.astype(np.float32)))
        return found.transpose(0, *(1 + a for a in axes)).reshape(floats.shape)

    made = {tensor: quantized(golden.test[recorded])}
    return replace(
        golden,
        test={**golden.test, **made},
        random={**golden.random, tensor: quantized(golden.random[recorded])},
        quantized_accuracy=_accuracy(made[tensor], golden.test_y),
    )


def save_golden(golden: Golden, path: str | Path) -> None:
    """Write the ``.npz``, beside itself first, then into place."""
    path = Path(path)
    names = list(golden.test)
    arrays: dict[str, Any] = {
        "version": np.int64(VERSION),
        "test_x": golden.test_x,
        "test_y": golden.test_y,
        "random_x": golden.random_x,
        "seed": np.int64(golden.seed),
        "tensors": np.array(names, dtype=np.str_),
        "float_accuracy": np.float64(golden.float_accuracy),
        "quantized_accuracy": np.float64(golden.quantized_accuracy),
    }
    for index, name in enumerate(names):
        arrays[f"test_{index}"] = golden.test[name]
        arrays[f"random_{index}"] = golden.random[name]
    arrays = {k: v for name, array in arrays.items() for k, v in _packed(name, array).items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    temporary.replace(path)


def _packed(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """``array``, or its distinct values and their places if that is smaller."""
    if array.dtype != np.float32 or array.size < 4096:
        return {name: array}
    # By bits: -0 and 0 are distinct.
    values, index = np.unique(array.view(np.int32), return_inverse=True)
    if len(values) > 1 << 16 or len(values) * 4 > array.size:
        return {name: array}
    small = np.uint8 if len(values) <= 1 << 8 else np.uint16
    places = index.astype(small).reshape(array.shape)
    return {f"{name}.values": values.view(np.float32), f"{name}.index": places}


def _unpacked(file: Any, name: str) -> np.ndarray:
    if name in file:
        return np.asarray(file[name])
    values, index = file[f"{name}.values"], file[f"{name}.index"]
    return np.asarray(values[index])


def load_golden(path: str | Path) -> Golden:
    """Read what :func:`save_golden` wrote; ``UsageError`` for anything else."""
    with _opened(path) as file:
        names = [str(n) for n in file["tensors"]]
        return Golden(
            _unpacked(file, "test_x"),
            file["test_y"],
            _unpacked(file, "random_x"),
            int(file["seed"]),
            {n: _unpacked(file, f"test_{i}") for i, n in enumerate(names)},
            {n: _unpacked(file, f"random_{i}") for i, n in enumerate(names)},
            float(file["float_accuracy"]),
            float(file["quantized_accuracy"]),
        )


def load_test_inputs(path: str | Path) -> np.ndarray:
    """``test_x`` alone, float32 [n, ...], of what :func:`save_golden` wrote."""
    with _opened(path) as file:
        return _unpacked(file, "test_x")


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """The arrays of the file; ``UsageError`` where they cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) != VERSION:
                raise ValueError(f"version {int(file['version'])}")
            yield file
    except FileNotFoundError:
        raise UsageError("no such file", where=str(path)) from None
    except Exception as error:  # zipfile, zlib, numpy: a damaged file raises anything
        raise UsageError(
            f"not a file of recorded results ({type(error).__name__}: {error})",
            where=str(path),
            hint="record it again with 'codesign train' or record_golden()",
        ) from None
