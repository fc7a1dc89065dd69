"""Rows of a survey: one tensor each, of the graph or of the body of a Scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import NodeProto

from codesign.formats import Format, Real
from codesign.formats.base import bits_for
from codesign.frontend.check import where
from codesign.frontend.context import Const
from codesign.frontend.layout import Tensor
from codesign.frontend.names import printable

Status = Literal["input", "computed", "constant", "state", "blocked", "waiting"]
Span = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """One tensor: what makes it and what it holds.

    ``shape``: as in the file, without the batch axis of computed tensors; ``codes``: smallest and
    largest integer code; ``values``: smallest and largest real value they stand for (None for
    float32 tensors and where unknown). ``problem`` and ``hint``: why a node is ``blocked``;
    ``waits_for``: the blocked nodes a ``waiting`` one depends on. ``scan``: the Scan in whose body
    the tensor is, one for each step; a ``state`` is carried from step to step. ``minor``: worth no
    line of its own: a stage within a delay, a quantized constant that was only moved.
    """

    node: str
    operator: str
    tensor: str
    status: Status
    shape: tuple[int, ...] | None = None
    format: str = ""
    codes: tuple[int, int] | None = None
    values: Span | None = None
    problem: str = ""
    hint: str = ""
    waits_for: tuple[str, ...] = ()
    scan: str = ""
    minor: bool = False


def named(node: NodeProto, tensor: str, status: Status, **known: object) -> Row:
    """A row for what ``node`` writes, or would."""
    name, kind = printable(tensor), printable(node.op_type)
    return Row(where(node), kind, name, status, **known)  # type: ignore[arg-type]


def computed(
    label: str, operator: str, name: str, tensor: Tensor, status: Status, scan: str = ""
) -> Row:
    """A row for a tensor that is computed while the network runs."""
    value = tensor.value
    return Row(
        label,
        printable(operator),
        printable(name),
        status,
        tensor.shape,
        value.format.label(),
        codes_of(value.format),
        range_of(value.format, value.shape[-1] if value.shape else 1),
        scan=scan,
    )


def codes_of(format: Format) -> tuple[int, int] | None:
    """Smallest and largest code; None for float32."""
    return None if isinstance(format, Real) else (format.lo, format.hi)


def range_of(format: Format, channels: int) -> Span | None:
    """Real values of the smallest and the largest code, over all channels."""
    if isinstance(format, Real):
        return None
    ends = np.array([[format.lo], [format.hi]]).repeat(channels, axis=1)
    decoded = format.decode(ends)
    return float(decoded.min()), float(decoded.max())


def constant(node: NodeProto, name: str, const: Const, scan: str = "", minor: bool = False) -> Row:
    """A row for what is known at import."""
    array, quantized = const.array, const.quantized
    finite = array.size > 0 and array.dtype.kind in "fiu"
    values = (float(array.min()), float(array.max())) if finite else None
    shape, format, codes = tuple(array.shape), str(array.dtype), None
    if quantized is not None and quantized.codes.size:
        codes = (int(quantized.codes.min()), int(quantized.codes.max()))
        sign = "int" if codes[0] < 0 else "uint"
        format = f"{sign}{bits_for(*codes)}, {_scales(quantized.scale)}"
    return named(
        node, name, "constant", shape=shape, format=format, codes=codes, values=values, scan=scan,
        minor=minor,
    )  # fmt: skip


def _scales(scale: np.ndarray) -> str:
    """One scale as ``x 0.25``, or how many distinct scales there are."""
    distinct = np.unique(scale)
    return f"x {distinct[0]:.4g}" if len(distinct) == 1 else f"{len(distinct)} scales"
