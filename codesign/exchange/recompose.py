"""Neurons found again in a graph of standard operators.

Notes say where they were and what they were; nothing of it is believed: the operator's body is
made again, and must equal what is there, node for node.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.exchange.domain import (
    DECODERS,
    DOMAIN,
    ENCODERS,
    LIMIT,
    VERSION,
    graphs,
    is_neuron,
    printable,
)
from codesign.exchange.function import NOTE, digest, function_of, signature
from codesign.exchange.node import read_node
from codesign.exchange.step import constants_of


def recompose(model: ModelProto) -> ModelProto:
    """A copy of ``model`` with every decomposed neuron as one node again.

    The inverse of :func:`codesign.exchange.decompose`. Raises :class:`UnsupportedModel` where a
    note stands at nodes that are no longer, exactly, the body of its neuron.
    """
    out = ModelProto()
    out.CopyFrom(model)
    opset = next((o.version for o in out.opset_import if o.domain in ("", "ai.onnx")), 0)
    constants: dict[str, np.ndarray] = {}
    found = 0
    for graph in graphs(out.graph):
        constants |= constants_of(graph)
        while (match := _next(graph, opset)) is not None:
            node = match.node()
            if is_neuron(node):
                read_node(node, constants)
            _replace(graph, match, node)
            found += 1
    if found and all(o.domain != DOMAIN for o in out.opset_import):
        out.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    return out


def _note(node: NodeProto) -> dict[str, Any]:
    """The note at ``node``; empty where there is none, or none of ours."""
    for entry in node.metadata_props:
        if entry.key == NOTE:
            try:
                found = json.loads(entry.value)
            except ValueError:
                return {}
            return found if isinstance(found, dict) else {}
    return {}


@dataclass
class _Match:
    """Nodes of ``graph`` as those of ``function``. ``places``: of each matched node, by its index
    in the function. ``names``: tensor of the function -> tensor of the graph."""

    graph: GraphProto
    function: FunctionProto
    note: dict[str, Any]
    attributes: list[Any]
    places: dict[int, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def node(self) -> NodeProto:
        """The neuron."""
        names = {**self.note["unread"], **self.names}
        made = helper.make_node(
            self.function.name,
            [str(names[i]) for i in self.function.input],
            [self.names[o] for o in self.function.output],
            name=self.note["name"],
            domain=DOMAIN,
        )
        made.attribute.extend(self.attributes)
        return made


def _next(graph: GraphProto, opset: int) -> _Match | None:
    """The first neuron that a note announces, matched."""
    for place, node in enumerate(graph.node):
        note = _note(node)
        if note.get("index") == 0:
            return _matched(graph, place, note, opset)
    return None


def _matched(graph: GraphProto, place: int, note: dict[str, Any], opset: int) -> _Match:
    where = f"nodes of neuron '{printable(str(note.get('name')))}'"
    op, unread = note.get("op"), note.get("unread")
    if not isinstance(op, dict) or not isinstance(unread, dict) or "name" not in note:
        raise _changed(where, "their note is not complete")
    attributes = {str(k): v for k, v in op.items() if k != "op_type"}
    texts = (note["name"], *unread.values())
    numbers = [v for v in op.values() if isinstance(v, int)]
    if (
        not all(isinstance(v, str) for v in texts)
        or not all(isinstance(v, int | str) or _numbers(v) for v in op.values())
        or any(abs(v) > LIMIT for v in numbers)
    ):
        raise _changed(where, "their note is malformed")
    op_type = str(op.get("op_type"))
    ends = (["x"], ["out"]) if op_type in ENCODERS | DECODERS else ([], [])
    template = helper.make_node(op_type, ends[0], ends[1], str(note["name"]), domain=DOMAIN)
    template.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    if digest(signature(template)) != note.get("digest"):
        raise _changed(where, "their note names other attributes than their digest")
    function = function_of(template, opset)
    match = _Match(graph, function, note, list(template.attribute))
    _follow(match, place, where)
    wanted = {i for n in function.node for i in n.input} & set(function.input)
    missing = set(function.input) - wanted - set(unread)
    if missing:
        raise _changed(where, f"their note does not name {', '.join(sorted(missing))}")
    return match


def _numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(v, int) and abs(v) < 1 << 60 for v in value
    )  # fmt: skip


def _follow(match: _Match, place: int, where: str) -> None:
    """Walk the function and the graph side by side, from node 0 at ``place``."""
    function, graph = match.function, match.graph
    made = {o: i for i, n in enumerate(function.node) for o in n.output}
    read = _readers(function.node)
    made_here = {o: i for i, n in enumerate(graph.node) for o in n.output}
    read_here = _readers(graph.node)
    waiting = [(0, place)]
    while waiting:
        index, at = waiting.pop()
        if match.places.setdefault(index, at) != at:
            raise _changed(where, f"node {index} of their body is there twice")
        template, node = function.node[index], graph.node[at]
        if not _same(template, node):
            raise _changed(where, f"'{printable(node.name)}' is no longer {template.op_type}")
        pairs = list(zip(template.input, node.input, strict=True))
        pairs += zip(template.output, node.output, strict=True)
        for inside, outside in pairs:
            if match.names.setdefault(inside, outside) != outside:
                raise _changed(where, f"'{printable(node.name)}' reads other tensors")
            if inside in made and made[inside] not in match.places:
                if outside not in made_here:
                    raise _changed(where, f"'{printable(outside)}' is no longer computed")
                waiting.append((made[inside], made_here[outside]))
        for inside, outside in zip(template.output, node.output, strict=True):
            for other in read[inside]:
                if other not in match.places:
                    waiting.append((other, _reader(match, other, read_here[outside], where)))
    _check_whole(match, read_here, where)


def _reader(match: _Match, index: int, places: list[int], where: str) -> int:
    """Which of ``places`` is noted as node ``index``."""
    found = [
        place
        for place in dict.fromkeys(places)
        if (note := _note(match.graph.node[place])).get("digest") == match.note["digest"]
        and note.get("index") == index
    ]
    if len(found) != 1:
        raise _changed(where, f"node {index} of their body is there {len(found)} times")
    return found[0]


def _check_whole(match: _Match, read_here: dict[str, list[int]], where: str) -> None:
    """All nodes are there, each once, and nothing else looks inside."""
    count, own = len(match.function.node), set(match.places.values())
    if len(match.places) != count or len(own) != count:
        raise _changed(where, f"{len(own)} of the {count} nodes of their body are left")
    ends = {match.names[name] for name in match.function.output}
    seen = {o.name for o in match.graph.output}
    for place in own:
        for name in match.graph.node[place].output:
            if name not in ends and (name in seen or set(read_here[name]) - own):
                raise _changed(where, f"'{printable(name)}' is read from outside")


def _same(template: NodeProto, node: NodeProto) -> bool:
    ours = {a.name: a.SerializeToString() for a in template.attribute}
    theirs = {a.name: a.SerializeToString() for a in node.attribute}
    kinds = (template.op_type, len(template.input), len(template.output))
    return (
        node.domain in ("", "ai.onnx")
        and kinds == (node.op_type, len(node.input), len(node.output))
        and ours == theirs
    )


def _readers(nodes: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for place, node in enumerate(nodes):
        for name in node.input:
            found[name].append(place)
    return found


def _replace(graph: GraphProto, match: _Match, neuron: NodeProto) -> None:
    """``neuron`` in place of the matched nodes, where all that it reads is computed before."""
    own = set(match.places.values())
    kept = [n for place, n in enumerate(graph.node) if place not in own]
    kept = [NodeProto.FromString(n.SerializeToString()) for n in kept]
    made = {o: i for i, n in enumerate(kept) for o in n.output}
    first = 1 + max((made[i] for i in neuron.input if i in made), default=-1)
    last = min((i for i, n in enumerate(kept) if set(n.input) & set(neuron.output)), default=None)
    if last is not None and last < first:
        raise _changed(f"node '{printable(neuron.name)}'", "the graph is not in order of execution")
    place = min(max(first, min(own)), len(kept) if last is None else last)
    del graph.node[:]
    graph.node.extend([*kept[:place], neuron, *kept[place:]])


def _changed(where: str, what: str) -> UnsupportedModel:
    hint = "the graph was changed after decompose: keep it as it was, or the model before it"
    return UnsupportedModel(what, where=where, hint=hint)
