"""What is inside of a Scan, for the survey: rows of its body, its neurons, what it carries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from onnx import NodeProto

from codesign.errors import UnsupportedModel
from codesign.exchange import is_neuron
from codesign.exchange.schema import Schema, schema_of
from codesign.frontend.check import where
from codesign.frontend.context import Body, Context
from codesign.frontend.fold import MOVES
from codesign.frontend.handlers.neuron import carried
from codesign.frontend.names import printable
from codesign.frontend.survey_flow import Carried, Flow
from codesign.frontend.survey_rows import Row, Span, Status, computed, constant, named, range_of
from codesign.neurons import Neuron, State
from codesign.neurons.describe import describe, span, word_label
from codesign.neurons.recognize import preset_of
from codesign.ops.neuron import Neuron as NeuronOp
from codesign.ops.neuron import state_name, word_format
from codesign.ops.on_grid import OnGrid


@dataclass(frozen=True)
class Parameter:
    """Constants of neurons: how many there are (1: all neurons are alike), the least and greatest
    code, and the real values (an entry of a table: as the table says) they stand for."""

    name: str
    count: int
    codes: tuple[int, int]
    values: Span


@dataclass(frozen=True)
class Word:
    """A state of neurons: its tensor after a step, its format with what happens when it is full,
    and the values it starts from."""

    name: str
    tensor: str
    format: str
    overflow: str
    codes: tuple[int, int]
    values: Span
    starts: str


@dataclass(frozen=True)
class Neurons:
    """A layer of neurons. ``shape``: of what it puts out in a step; ``kind`` and ``traits``: in
    words, see :func:`codesign.neurons.describe.describe`; ``preset``: the one it equals, or "";
    ``fed_by``: layers, inputs and carried tensors that reach it within a step; ``attributes``:
    those of docs/EXCHANGE.md."""

    node: str
    layer: str
    operator: str
    shape: tuple[int, ...]
    kind: str
    preset: str
    traits: dict[str, str]
    fed_by: tuple[str, ...]
    states: tuple[Word, ...]
    attributes: dict[str, int | str]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Loop:
    """A Scan. ``goes_on``: states of neurons go on from window to window, else each window starts
    anew; ``complete``: whether all of its body could be imported."""

    node: str
    steps: int
    goes_on: bool
    neurons: tuple[Neurons, ...]
    carried: tuple[Carried, ...]
    complete: bool


def look_into(body: Body, refused: UnsupportedModel | None) -> tuple[Loop, list[Row]]:
    """``body``, and a row for each tensor in it. ``refused``: why its import ended early."""
    inner, label = body.inner, where(body.node)
    graph = inner.model.graph
    flow = Flow(graph, body.states, carried(graph, body.states))
    made, rows = _Made(inner, label, flow.minor()), []
    for index, port in enumerate(graph.input):
        if port.name in inner.tensors:
            status: Status = "state" if index < body.states else "computed"
            row = computed(label, "Scan", port.name, inner.tensors[port.name], status, label)
            rows.append(replace(row, minor=port.name in made.minor))
    neurons = []
    stuck = ""
    for node in graph.node:
        rows += made.rows(node)
        layer = made.layer(node, flow) if is_neuron(node) else None
        if layer is not None:
            neurons.append(layer)
            rows += _states(node, layer, label)
        if refused is not None and not _known(inner, node):
            rows += _missing(node, refused, label, stuck)
            stuck = stuck or where(node)
    handed_on = flow.carried(inner) if body.steps > 1 else ()
    loop = Loop(label, body.steps, inner.persistent, tuple(neurons), handed_on, refused is None)
    return loop, rows


def _known(inner: Context, node: NodeProto) -> bool:
    """Whether ``node`` was imported."""
    return any(name in inner.tensors or name in inner.constants for name in node.output)


class _Made:
    """What was imported of the body called ``label``; tensors ``minor`` only repeat others."""

    def __init__(self, inner: Context, label: str, minor: set[str]) -> None:
        self._inner, self._label, self.minor = inner, label, minor
        nodes = inner.so_far().nodes
        self._ops = {node.output: node for node in nodes}
        #: Values that neurons take in whole steps -> fraction bits of these.
        self._grids = {n.inputs[0]: n.op.frac for n in nodes if isinstance(n.op, OnGrid)}

    def rows(self, node: NodeProto) -> list[Row]:
        """For what ``node`` made, but for states of neurons."""
        inner, label, rows = self._inner, self._label, []
        for name in node.output:
            if name in inner.tensors:
                made = inner.tensors[name]
                row = computed(where(node), node.op_type, name, made, "computed", label)
                grid = self._grids.get(made.value.name)
                format = row.format if grid is None else f"{row.format} on 2^{-grid}"
                rows.append(replace(row, format=format, minor=name in self.minor))
            elif name in inner.constants:
                moved = node.op_type in MOVES and node.domain == ""
                rows.append(constant(node, name, inner.constants[name], label, moved))
        return rows

    def layer(self, node: NodeProto, flow: Flow) -> Neurons | None:
        """The neurons of ``node``, if they were imported."""
        made = self._inner.tensors.get(node.output[0])
        op = None if made is None else self._ops.get(made.value.name)
        if made is None or op is None or not isinstance(op.op, NeuronOp):
            return None
        model: Neuron = op.op.model
        schema, said = schema_of(model), describe(model)
        kept = self._inner.neuron_states
        words = tuple(_word(s, kept[state_name(op.name, s.name)][0]) for s in model.states)
        return Neurons(
            where(node), flow.layer(node), printable(node.op_type), made.shape, said.kind,
            preset_of(model), said.traits, flow.fed_by(node, len(model.inputs)), words,
            dict(schema.attributes(model)), tuple(_parameters(schema, model)),
        )  # fmt: skip


def _missing(node: NodeProto, refused: UnsupportedModel, label: str, stuck: str) -> list[Row]:
    """Rows for what ``node`` would have made: the import ended here, or earlier (``stuck``)."""
    outputs = [name for name in node.output if name]
    if stuck or refused.where != where(node):
        waits = (stuck or label,)
        return [named(node, name, "waiting", waits_for=waits, scan=label) for name in outputs]
    problem, hint = refused.what, refused.hint
    return [
        named(node, name, "blocked", problem=problem, hint=hint, scan=label) for name in outputs
    ]


def _parameters(schema: Schema, model: Neuron) -> Iterator[Parameter]:
    codes = schema.codes(model)
    for parameter in schema.parameters(schema.attributes(model)):
        found = codes[parameter.name]
        low, high = int(found.min()), int(found.max())
        step = 2.0**-parameter.frac
        yield Parameter(parameter.name, len(found), (low, high), (low * step, high * step))


def _word(state: State, tensor: str) -> Word:
    word = state.word
    values = range_of(word_format(word, word.lo, word.hi), 1)
    assert values is not None
    return Word(
        state.name, printable(tensor), word_label(word).rsplit(",", 1)[0], word.overflow,
        (word.lo, word.hi), values, span(state.initial, word.frac),
    )  # fmt: skip


def _states(node: NodeProto, layer: Neurons, label: str) -> list[Row]:
    return [
        named(
            node, word.tensor, "state", shape=layer.shape, format=word.format, codes=word.codes,
            values=word.values, scan=label,
        )
        for word in layer.states
    ]  # fmt: skip
