"""What of a model can be imported: every node is tried, and everything that blocks is listed.

The importer stops at the first node it must refuse. The survey goes on: the outputs of a refused
node are unknown, and the nodes that need them are listed as waiting for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from onnx import ModelProto, NodeProto

from codesign.errors import UnsupportedModel
from codesign.formats import Real, ScaledInt
from codesign.formats.base import bits_for
from codesign.frontend.check import where
from codesign.frontend.context import Const, Context
from codesign.frontend.fuse_norm import nodes_to_import
from codesign.frontend.layout import Tensor
from codesign.frontend.names import printable
from codesign.frontend.qonnx import import_node, prepare
from codesign.frontend.scan.body import names_read
from codesign.ir import Value

Status = Literal["input", "computed", "constant", "blocked", "waiting"]


@dataclass(frozen=True)
class Row:
    """One tensor: what makes it and what it holds.

    ``shape``: as in the file, without the batch axis of computed tensors; ``codes``: smallest and
    largest integer code; ``values``: smallest and largest real value they stand for (None for
    float32 tensors and where unknown). ``problem`` and ``hint``: why a node is ``blocked``;
    ``waits_for``: the blocked nodes a ``waiting`` one depends on.
    """

    node: str
    operator: str
    tensor: str
    status: Status
    shape: tuple[int, ...] | None = None
    format: str = ""
    codes: tuple[int, int] | None = None
    values: tuple[float, float] | None = None
    problem: str = ""
    hint: str = ""
    waits_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survey:
    """Rows in execution order, one for each tensor."""

    rows: tuple[Row, ...]

    @property
    def blocked(self) -> tuple[Row, ...]:
        """The refused nodes, each once."""
        first: dict[str, Row] = {}
        for row in self.rows:
            if row.status == "blocked":
                first.setdefault(row.node, row)
        return tuple(first.values())

    @property
    def supported(self) -> bool:
        """Whether the importer takes every node."""
        return not self.blocked


def survey(model: ModelProto, *, input_format: ScaledInt | None = None) -> Survey:
    """Try every node of ``model``; ``input_format`` as for the importer.

    Raises :class:`UnsupportedModel` only for a graph so malformed that there is nothing to walk
    (cycles, missing tensors, damaged weights).
    """
    _, cleaned, ctx = prepare(model, input_format)
    rows = [_port(ctx, cleaned)]
    unknown: dict[str, tuple[str, ...]] = {}  # tensor -> labels of the nodes that block it
    for node in nodes_to_import(cleaned):
        rows += _try(ctx, node, unknown)
    return Survey(tuple(rows))


def _port(ctx: Context, model: ModelProto) -> Row:
    name = model.graph.input[0].name
    return _computed("", "Input", name, ctx.tensors[name], "input")


def _try(ctx: Context, node: NodeProto, unknown: dict[str, tuple[str, ...]]) -> list[Row]:
    label, outputs = where(node), [name for name in node.output if name]
    blockers = [b for name in names_read(node) for b in unknown.get(name, ())]
    if blockers:
        waits = tuple(dict.fromkeys(blockers))
        unknown.update(dict.fromkeys(outputs, waits))
        return [_row(node, t, "waiting", waits_for=waits) for t in outputs]
    try:
        import_node(ctx, node)
    except UnsupportedModel as error:
        unknown.update(dict.fromkeys(outputs, (label,)))
        problem, hint = error.what, error.hint
        return [_row(node, t, "blocked", problem=problem, hint=hint) for t in outputs]
    rows = []
    for name in outputs:
        if name in ctx.tensors:
            made = _computed(label, node.op_type, name, ctx.tensors[name], "computed")
            rows.append(made)
        elif name in ctx.constants:
            rows.append(_constant(node, name, ctx.constants[name]))
    return rows


def _row(node: NodeProto, tensor: str, status: Status, **known: object) -> Row:
    name, kind = printable(tensor), printable(node.op_type)
    return Row(where(node), kind, name, status, **known)  # type: ignore[arg-type]


def _computed(label: str, operator: str, name: str, tensor: Tensor, status: Status) -> Row:
    value = tensor.value
    codes = None if isinstance(value.format, Real) else (value.format.lo, value.format.hi)
    return Row(
        label,
        printable(operator),
        printable(name),
        status,
        tensor.shape,
        value.format.label(),
        codes,
        _range(value),
    )


def _range(value: Value) -> tuple[float, float] | None:
    """Real values of the smallest and the largest code, over all channels."""
    if isinstance(value.format, Real):
        return None
    channels = value.shape[-1] if value.shape else 1
    ends = np.array([[value.format.lo], [value.format.hi]]).repeat(channels, axis=1)
    decoded = value.format.decode(ends)
    return float(decoded.min()), float(decoded.max())


def _constant(node: NodeProto, name: str, const: Const) -> Row:
    array, quantized = const.array, const.quantized
    finite = array.size > 0 and array.dtype.kind in "fiu"
    values = (float(array.min()), float(array.max())) if finite else None
    shape, format, codes = tuple(array.shape), str(array.dtype), None
    if quantized is not None and quantized.codes.size:
        codes = (int(quantized.codes.min()), int(quantized.codes.max()))
        sign = "int" if codes[0] < 0 else "uint"
        format = f"{sign}{bits_for(*codes)}, {_scales(quantized.scale)}"
    return _row(
        node, name, "constant", shape=shape, format=format, codes=codes, values=values
    )  # fmt: skip


def _scales(scale: np.ndarray) -> str:
    """One scale as ``x 0.25``, or how many distinct scales there are."""
    distinct = np.unique(scale)
    return f"x {distinct[0]:.4g}" if len(distinct) == 1 else f"{len(distinct)} scales"
