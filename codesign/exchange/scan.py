"""The Scan form: the one-step graph as the body of a loop over the steps of a window.

Inputs and outputs of the step get an axis of time behind the batch: (batch, steps, ...).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.exchange.domain import check_version, graphs, printable
from codesign.exchange.metadata import read_metadata
from codesign.exchange.step import NEXT, StateAt, constants_of, port, shape_of, states_of

#: What the names at the border of the body end in; those outside have none.
SUFFIX = "_step"


def to_scan(model: ModelProto) -> ModelProto:
    """The one-step ``model`` as a Scan over the steps its metadata names.

    Where windows start anew (``reset_at_window``), the initial states are constants; else they
    remain inputs ``X`` and outputs ``X_next`` of the graph, for the caller to carry on.
    Raises :class:`UnsupportedModel` for a model that is not in one-step form.
    """
    check_version(model)
    metadata, states = read_metadata(model), states_of(model.graph)
    names = {s.name for s in states} | {s.after for s in states}
    inputs = [i for i in model.graph.input if i.name not in names]
    outputs = [o for o in model.graph.output if o.name not in names]
    if not inputs or len(graphs(model.graph)) > 1:
        what = "it has no input" if not inputs else "a node holds a graph of its own"
        hint = "codesign.exchange.StepBuilder builds the one-step form"
        raise UnsupportedModel(what, where="one-step graph", hint=hint)
    given = [*(s.name for s in states), *names_of(inputs)]
    made = [*(s.after for s in states), *names_of(outputs)]
    scan = helper.make_node("Scan", given, made, "steps")
    _attach(scan, _body(model.graph, given, made), len(inputs), len(outputs))
    before = [port(p.name, _with_steps(p, metadata.steps)) for p in inputs]
    after = [port(p.name, _with_steps(p, metadata.steps)) for p in outputs]
    initial = [numpy_helper.from_array(s.initial, s.name) for s in states]
    if not metadata.reset_at_window:
        before += [port(s.name, s.initial.shape) for s in states]
        after += [port(s.after, s.initial.shape) for s in states]
        initial = []
    graph = helper.make_graph([scan], model.graph.name, before, after, initial)
    return _with_graph(model, graph)


def to_step(model: ModelProto) -> ModelProto:
    """The one-step form of a model in Scan form, the inverse of :func:`to_scan`.

    Raises :class:`UnsupportedModel` where the graph is more than one forward Scan behind the
    batch, or starts from other states than the neurons' own.
    """
    check_version(model)
    metadata, scan = read_metadata(model), scan_of(model)
    body = next(a.g for a in scan.attribute if a.name == "body")
    renamed = GraphProto()
    renamed.CopyFrom(body)
    inside = [*names_of(body.input), *names_of(body.output)]
    _rename(renamed, dict(zip(inside, [*scan.input, *scan.output], strict=True)))
    renamed.name = model.graph.name
    count = len(scan.input) - next(a.i for a in scan.attribute if a.name == "num_scan_inputs")
    _rotate(renamed, count)
    out = _with_graph(model, renamed)
    states = states_of(out.graph)
    if {s.name for s in states} != set(scan.input[:count]):
        raise _not_scan(f"a state is not written to its name with {NEXT}")
    _check_initial(model, states, metadata.reset_at_window)
    for info in (*model.graph.input, *model.graph.output):
        if info.name in scan.input[count:] or info.name in scan.output[count:]:
            shape = shape_of(info)
            if len(shape) < 2 or shape[1] != metadata.steps:
                what = f"'{printable(info.name)}' has shape {shape}, the metadata names"
                raise _not_scan(f"{what} {metadata.steps} steps")
    return out


def scan_of(model: ModelProto) -> NodeProto:
    """The one node of a model in Scan form, its attributes checked."""
    if len(model.graph.node) != 1 or model.graph.node[0].op_type != "Scan":
        raise _not_scan(f"the graph has {len(model.graph.node)} nodes, not just one Scan")
    (scan,) = model.graph.node
    attributes = {a.name: helper.get_attribute_value(a) for a in scan.attribute}
    scans = attributes.get("num_scan_inputs", 0)
    count = len(scan.input) - scans
    body = attributes.get("body")
    if body is None or len(body.input) != len(scan.input) or len(body.output) != len(scan.output):
        raise _not_scan("its body is missing, or has other inputs and outputs than the node")
    for name, wanted in {
        "scan_input_axes": [1] * scans,
        "scan_output_axes": [1] * (len(scan.output) - count),
    }.items():
        if attributes.get(name) != wanted:
            raise _not_scan(f"attribute '{name}' is {attributes.get(name)}, not {wanted}")
    for name in ("scan_input_directions", "scan_output_directions"):
        if any(attributes.get(name, [])):
            raise _not_scan(f"attribute '{name}' goes backward")
    return scan


def names_of(ports: Sequence[ValueInfoProto]) -> list[str]:
    """Their names."""
    return [p.name for p in ports]


def _not_scan(what: str) -> UnsupportedModel:
    hint = "the Scan form is one Scan over axis 1, (batch, steps, ...): see docs/EXCHANGE.md"
    return UnsupportedModel(what, where="Scan form", hint=hint)


def _body(graph: GraphProto, inputs: list[str], outputs: list[str]) -> GraphProto:
    """``graph`` with its inputs and outputs in this order, under names of their own."""
    body = GraphProto()
    body.CopyFrom(graph)
    for ports, order in ((body.input, inputs), (body.output, outputs)):
        found = {p.name: p for p in ports}
        ordered = [ValueInfoProto.FromString(found[n].SerializeToString()) for n in order]
        del ports[:]
        ports.extend(ordered)
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {t.name for t in graph.initializer}
    names = {}
    for name in (*inputs, *outputs):
        names[name] = name + SUFFIX
        while names[name] in taken:
            names[name] += "_"
    _rename(body, names)
    body.name = f"{graph.name}_step"
    return body


def _attach(scan: NodeProto, body: GraphProto, inputs: int, outputs: int) -> None:
    found: dict[str, object] = {
        "body": body,
        "num_scan_inputs": inputs,
        "scan_input_axes": [1] * inputs,
    }
    if outputs:
        found["scan_output_axes"] = [1] * outputs
    scan.attribute.extend(helper.make_attribute(name, value) for name, value in found.items())


def _with_steps(info: ValueInfoProto, steps: int) -> tuple[int, ...]:
    shape = shape_of(info)
    if not shape:
        raise UnsupportedModel(
            "it has no batch axis", where=f"tensor '{printable(info.name)}'", hint="(batch, ...)"
        )
    return (shape[0], steps, *shape[1:])


def _rotate(graph: GraphProto, states: int) -> None:
    """Inputs and outputs of a step first, then the states."""
    for ports in (graph.input, graph.output):
        found = [ValueInfoProto.FromString(p.SerializeToString()) for p in ports]
        del ports[:]
        ports.extend([*found[states:], *found[:states]])


def _check_initial(model: ModelProto, states: list[StateAt], resets: bool) -> None:
    constants, outer = constants_of(model.graph), set(names_of(model.graph.input))
    for state in states:
        if not resets:
            if state.name not in outer or state.after not in names_of(model.graph.output):
                what = f"windows go on, but state '{printable(state.name)}' is no input and output"
                raise _not_scan(what)
        elif state.name not in constants:
            raise _not_scan(f"the initial state '{printable(state.name)}' is no constant")
        elif not np.array_equal(constants[state.name], state.initial):
            what = f"the initial state '{printable(state.name)}' is not that of its neuron"
            raise _not_scan(f"{what} (v0; other states start at 0)")


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    """Give tensors of ``graph`` other names."""
    for info in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        info.name = names.get(info.name, info.name)
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for note in graph.quantization_annotation:
        note.tensor_name = names.get(note.tensor_name, note.tensor_name)


def _with_graph(model: ModelProto, graph: GraphProto) -> ModelProto:
    out = ModelProto()
    out.CopyFrom(model)
    out.graph.CopyFrom(graph)
    return out
