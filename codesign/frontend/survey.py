"""What of a model can be imported: every node is tried, and everything that blocks is listed.

The importer stops at the first node it must refuse. The survey goes on: the outputs of a refused
node are unknown, and the nodes that need them are listed as waiting for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from codesign.errors import UnsupportedModel
from codesign.exchange import Metadata
from codesign.exchange.domain import DECODERS, ENCODERS
from codesign.exchange.metadata import read_metadata
from codesign.exchange.sequence import is_spiking
from codesign.formats import QuantFormat
from codesign.frontend.check import where
from codesign.frontend.context import Context
from codesign.frontend.fuse_norm import nodes_to_import
from codesign.frontend.qonnx import import_node, prepare
from codesign.frontend.scan.body import names_read
from codesign.frontend.survey_loop import Loop, look_into
from codesign.frontend.survey_rows import Row, computed, constant, named

__all__ = ["Loop", "Row", "Survey", "survey"]


@dataclass(frozen=True)
class Survey:
    """Rows in execution order, one for each tensor; those of a Scan's body before its results.

    ``loops``: the Scans, as far as their bodies were imported. ``time``: what the model says of
    time steps; None for one that is not spiking.
    """

    rows: tuple[Row, ...]
    loops: tuple[Loop, ...] = ()
    time: Metadata | None = None

    @property
    def blocked(self) -> tuple[Row, ...]:
        """The refused nodes, each once; for one in the body of a Scan, that Scan."""
        first: dict[str, Row] = {}
        for row in self.rows:
            if row.status == "blocked" and not row.scan:
                first.setdefault(row.node, row)
        return tuple(first.values())

    @property
    def encoder(self) -> str:
        """The encoder that is part of the model, "" where the host encodes."""
        return next((row.operator for row in self.rows if row.operator in ENCODERS), "")

    @property
    def decoder(self) -> str:
        """The decoder that is part of the model, or ""."""
        return next((row.operator for row in self.rows if row.operator in DECODERS), "")

    @property
    def supported(self) -> bool:
        """Whether the importer takes every node."""
        return not self.blocked


def survey(model: ModelProto, *, input_format: QuantFormat | None = None) -> Survey:
    """Try every node of ``model``; ``input_format`` as for the importer.

    Raises :class:`UnsupportedModel` only for a graph so malformed that there is nothing to walk
    (cycles, missing tensors, damaged weights).
    """
    _, cleaned, ctx = prepare(model, input_format)
    name = cleaned.graph.input[0].name
    rows = [computed("", "Input", name, ctx.tensors[name], "input")]
    loops: list[Loop] = []
    unknown: dict[str, tuple[str, ...]] = {}  # tensor -> labels of the nodes that block it
    for node in nodes_to_import(cleaned):
        rows += _try(ctx, node, unknown, loops)
    time = read_metadata(cleaned) if is_spiking(cleaned) else None
    return Survey(tuple(rows), tuple(loops), time)


def _try(
    ctx: Context, node: NodeProto, unknown: dict[str, tuple[str, ...]], loops: list[Loop]
) -> list[Row]:
    label, outputs = where(node), [name for name in node.output if name]
    blockers = [b for name in names_read(node) for b in unknown.get(name, ())]
    if blockers:
        waits = tuple(dict.fromkeys(blockers))
        unknown.update(dict.fromkeys(outputs, waits))
        return [named(node, t, "waiting", waits_for=waits) for t in outputs]
    rows: list[Row] = []
    refused = None
    try:
        import_node(ctx, node)
    except UnsupportedModel as error:
        refused = error
    if ctx.bodies and ctx.bodies[-1].node is node:
        loop, inside = look_into(ctx.bodies[-1], refused)
        loops.append(loop)
        rows += inside
    if refused is not None:
        unknown.update(dict.fromkeys(outputs, (label,)))
        problem, hint = refused.what, refused.hint
        return rows + [named(node, t, "blocked", problem=problem, hint=hint) for t in outputs]
    for name in outputs:
        if name in ctx.tensors:
            rows.append(computed(label, node.op_type, name, ctx.tensors[name], "computed"))
        elif name in ctx.constants:
            rows.append(constant(node, name, ctx.constants[name]))
    return rows
