"""Operators that only move, drop, repeat or insert elements.

Each is run by onnxruntime on the numbers of its input's elements: what comes out is the index map.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto

from codesign.frontend.context import Context, attributes, handles
from codesign.frontend.fold import inferred_shapes, run_node
from codesign.frontend.layout import Axes, Tensor, channels_last, identity, inverse, move
from codesign.frontend.window import MAX_ELEMENTS

#: What each operator may say; anything else is refused by name.
_ATTRIBUTES: dict[str, dict[str, object]] = {
    "Slice": {"starts": None, "ends": None, "axes": None},
    "Split": {"axis": 0, "split": None, "num_outputs": None},
    "Gather": {"axis": 0},
    "GatherElements": {"axis": 0},
    "Expand": {},
    "Tile": {},
    "Trilu": {"upper": 1},
    "DepthToSpace": {"blocksize": None, "mode": "DCR"},
    "SpaceToDepth": {"blocksize": None},
}


@handles(*_ATTRIBUTES)
def moved(ctx: Context, node: NodeProto) -> None:
    """Any operator that takes a value first and constants after it."""
    attributes(ctx, node, **_ATTRIBUTES[node.op_type])
    _moved(ctx, node, node, np.float64, 0.0)


@handles("Resize", "Upsample")
def resize(ctx: Context, node: NodeProto) -> None:
    """Nearest neighbour, in every coordinate convention."""
    attrs = attributes(
        ctx, node, mode="nearest", scales=None, coordinate_transformation_mode="half_pixel",
        nearest_mode="round_prefer_floor", cubic_coeff_a=-0.75, exclude_outside=0,
        extrapolation_value=0.0, antialias=0, axes=None, keep_aspect_ratio_policy="stretch",
    )  # fmt: skip
    if attrs["mode"] != "nearest":
        raise ctx.error(
            node, f"attribute 'mode' is {attrs['mode']}", "only nearest neighbour: mode='nearest'"
        )
    inner = _changed(node, "extrapolation_value", -1.0)
    # onnxruntime resizes int32 but not float64.
    _moved(ctx, node, inner, np.int32, float(str(attrs["extrapolation_value"])))


@handles("Pad")
def pad(ctx: Context, node: NodeProto) -> None:
    """Constant, reflect, edge or wrap. Zeros a convolution or average can add are left to it."""
    attrs = attributes(ctx, node, mode="constant", pads=None, value=0.0)
    given = ctx.constant(node, 2)
    fill = float(given.array.ravel()[0]) if given is not None else float(str(attrs["value"]))
    if attrs["mode"] == "constant" and fill == 0 and _left_to_reader(ctx, node, attrs):
        return
    _moved(ctx, node, _changed(node, "value", -1.0), np.float64, fill)


def _left_to_reader(ctx: Context, node: NodeProto, attrs: dict[str, object]) -> bool:
    """Whether every reader can pad by itself; then noted in ``ctx.padded``."""
    x = ctx.tensor(node, 0)
    const = ctx.constant(node, 1)
    given = const.array.ravel().tolist() if const is not None else attrs["pads"]
    pads = [int(p) for p in given] if isinstance(given, list) else []
    readers = ctx.readers(node.output[0])
    is_output = node.output[0] == ctx.model.graph.output[0].name
    plain = len(pads) == 2 * (x.rank + 1) and len(node.input) < 4
    if not plain or is_output or any(not 0 <= p < 1 << 15 for p in pads):
        return False
    begins, ends = pads[: x.rank + 1], pads[x.rank + 1 :]
    if any((*begins[:2], *ends[:2])) or x.rank not in (2, 3):
        return False
    if not all(_pads_itself(reader, node.output[0]) for reader in readers):
        return False
    ctx.padded[node.output[0]] = (x, (*begins[2:], *ends[2:]))
    return True


def _pads_itself(reader: NodeProto, name: str) -> bool:
    """Whether ``reader`` can take over zeros around its input ``name``: a convolution, or an
    average without padding of its own, which counts them as the values they are."""
    attrs = {a.name: a for a in reader.attribute}
    explicit = "auto_pad" not in attrs or attrs["auto_pad"].s in (b"NOTSET", b"VALID")
    if reader.domain != "" or name in reader.input[1:] or not explicit:
        return False
    if reader.op_type == "AveragePool":
        own = any(attrs["pads"].ints) if "pads" in attrs else False
        return not own and not ("ceil_mode" in attrs and attrs["ceil_mode"].i)
    return reader.op_type == "Conv"


def _changed(node: NodeProto, name: str, value: float) -> NodeProto:
    """``node`` with float attribute ``name``, where it has one, set to ``value``."""
    out = NodeProto()
    out.CopyFrom(node)
    for attribute in out.attribute:
        if attribute.name == name:
            attribute.f = value
    return out


def _moved(
    ctx: Context, node: NodeProto, inner: NodeProto, dtype: type[np.generic], fill: float
) -> None:
    """Emit the index maps of ``inner`` (``node`` with its filling set to -1), one an output."""
    x = ctx.tensor(node, 0)
    frame = x.value.elements
    numbers = np.arange(ctx.batch * frame).reshape(ctx.batch, *x.shape).astype(dtype)
    arrays = _inputs(ctx, node, numbers)
    for shape in inferred_shapes(ctx, inner, arrays):
        if shape is not None and math.prod(shape) > MAX_ELEMENTS:
            raise ctx.error(node, f"its result {shape} is too large for a circuit")
    results = run_node(ctx, inner, arrays)
    for k, (name, result) in enumerate(zip(node.output, results, strict=True)):
        if name:
            index = _one_frame(ctx, node, result.astype(np.int64), frame)
            _define(ctx, node, x, k, index, fill)


def _inputs(ctx: Context, node: NodeProto, numbers: np.ndarray) -> list[np.ndarray | None]:
    """The arrays to run ``node`` on; a Pad's own filling becomes -1."""
    arrays: list[np.ndarray | None] = [numbers]
    for i, name in enumerate(node.input[1:], start=1):
        const = ctx.constants.get(name) if name else None
        if name and const is None:
            raise ctx.error(
                node, f"input {i} is computed while the network runs", "it must be a constant"
            )
        arrays.append(None if const is None else const.array)
    if node.op_type == "Pad" and ctx.opset >= 11:
        arrays += [None] * (3 - len(arrays))
        arrays[2] = np.array(-1, dtype=numbers.dtype)
    return arrays


def _one_frame(ctx: Context, node: NodeProto, result: np.ndarray, frame: int) -> np.ndarray:
    """The index map of one frame, the same for each frame of the batch."""
    whole = result.ndim > 0 and len(result) == ctx.batch and result.size > 0
    index = result[0] if whole else result
    offsets = np.where(index[None] < 0, 0, np.arange(ctx.batch).reshape(-1, *[1] * index.ndim))
    if not whole or (index >= frame).any() or (result != index[None] + offsets * frame).any():
        raise ctx.error(
            node,
            f"it moves elements across the batch axis, or none are left ({result.shape})",
            "keep the batch axis as it is",
        )
    return index


def _define(
    ctx: Context, node: NodeProto, x: Tensor, output: int, index: np.ndarray, fill: float
) -> None:
    """Output number ``output`` takes the elements ``index`` (in the file's order) of ``x``."""
    flat = x.positions().ravel()
    source = np.where(index < 0, -1, flat[np.maximum(index, 0)])
    axes = _layout(x, source)
    source = source.transpose(inverse(axes))
    value = move(ctx, node, x.value, source, fill=fill, tensor=node.output[output], axes=axes)
    ctx.alias(node, value, axes, output)


def _layout(x: Tensor, source: np.ndarray) -> Axes:
    """The input's layout; for another rank the one in which the elements stay in order."""
    if source.ndim == x.rank:
        return x.axes
    if source.ndim > 1:
        last = channels_last(source.ndim)
        if (np.diff(source.transpose(inverse(last)).ravel()) > 0).all():
            return last
    return identity(source.ndim)
