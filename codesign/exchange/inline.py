"""Operators of ours as standard ones: as functions of the file, or in the graph itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto
from onnx.inliner import inline_local_functions

from codesign.errors import UnsupportedModel
from codesign.exchange.domain import DOMAIN, check_version, error, graphs, is_neuron, is_ours
from codesign.exchange.function import NOTE, OLDEST, function_of, signature
from codesign.exchange.node import read_node
from codesign.exchange.step import constants_of


def with_functions(model: ModelProto) -> ModelProto:
    """A copy of ``model`` with a function for each operator of ours: tools that know nothing of
    our domain (onnxruntime, onnx.inliner) can run it, and it stays as it is for those that do.

    Functions of one operator differ in their ``overload``, one for each set of attributes.
    """
    out = _copy(model)
    opset, made = _opset(out), {f.overload: f for f in out.functions if f.domain == DOMAIN}
    for _, node, _ in _operators(out):
        function = function_of(node, opset)
        node.overload = function.overload
        if function.overload not in made:
            made[function.overload] = function
            out.functions.append(function)
    return out


def without_functions(model: ModelProto) -> ModelProto:
    """A copy of ``model`` without the functions of our operators, the inverse of
    :func:`with_functions`.

    Raises :class:`UnsupportedModel` for one that is not what its operator computes.
    """
    out = _copy(model)
    opset = _opset(out) if out.functions else 0
    given = {(f.name, f.overload): f for f in out.functions if f.domain == DOMAIN}
    for _, node, _ in _operators(out):
        found = given.get((node.op_type, node.overload))
        if found is not None and found != function_of(node, opset):
            what = "its function in the file is not what its attributes say"
            hint = "remove the function, or write it with exchange.with_functions"
            raise error(node, what, hint)
        node.ClearField("overload")
    kept = [f for f in out.functions if f.domain != DOMAIN]
    del out.functions[:]
    out.functions.extend(kept)
    return out


def decompose(model: ModelProto) -> ModelProto:
    """A copy of ``model`` with standard operators in place of ours, also in Scan bodies.

    Notes at the new nodes (``metadata_props``) let :func:`recompose` find them again.
    """
    out = without_functions(model)
    opset, taken = _opset(out), _tensors(out)
    for graph, node, parameters in list(_operators(out)):
        nodes = _instance(function_of(node, opset), node, parameters, taken)
        place = next(i for i, n in enumerate(graph.node) if n is node or n == node)
        rest = [NodeProto.FromString(n.SerializeToString()) for n in graph.node[place + 1 :]]
        del graph.node[place:]
        graph.node.extend([*nodes, *rest])
    return out


def inline(model: ModelProto) -> ModelProto:
    """``model`` without operators of ours and without functions: standard (and other tools') ones
    only.

    What it computes is the same, bit for bit; see :func:`codesign.exchange.function.function_of`.
    """
    out = inline_local_functions(decompose(model))
    kept = [o for o in out.opset_import if o.domain != DOMAIN]
    del out.opset_import[:]
    out.opset_import.extend(kept)
    return out


def _copy(model: ModelProto) -> ModelProto:
    check_version(model)
    out = ModelProto()
    out.CopyFrom(model)
    return out


def _opset(model: ModelProto) -> int:
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if version < OLDEST or model.ir_version < 10:
        raise UnsupportedModel(
            f"opset {version} in a file of version {model.ir_version}",
            where="the model",
            hint=f"neurons need at least opset {OLDEST} and file version 10: convert it with "
            "onnx.version_converter, and set ir_version",
        )
    return version


def _operators(model: ModelProto) -> Iterator[tuple[GraphProto, NodeProto, dict[str, str]]]:
    constants: dict[str, np.ndarray] = {}
    for graph in graphs(model.graph):
        constants |= constants_of(graph)
        for node in list(graph.node):
            if is_neuron(node):
                yield graph, node, read_node(node, constants).ports.parameters
            elif is_ours(node):
                yield graph, node, {}


def _tensors(model: ModelProto) -> set[str]:
    found: set[str] = set()
    for graph in graphs(model.graph):
        found.update(t.name for t in (*graph.input, *graph.initializer))
        found.update(name for node in graph.node for name in (*node.input, *node.output))
    return found


def _instance(
    function: FunctionProto, node: NodeProto, parameters: dict[str, str], taken: set[str]
) -> list[NodeProto]:
    """The nodes of ``function`` under names of their own, in place of ``node``."""
    names = dict(zip(function.input, node.input, strict=True))
    names |= dict(zip(function.output, node.output, strict=True))
    base = node.name or node.output[0]
    while any(name.startswith(f"{base}/") for name in taken):
        base += "_"
    used: set[str] = set()
    nodes: list[NodeProto] = []
    for template in function.node:
        made = NodeProto.FromString(template.SerializeToString())
        for name in made.output:
            names.setdefault(name, f"{base}/{name}")
        used.update(made.input)
        made.input[:] = [names[name] for name in made.input]
        made.output[:] = [names[name] for name in made.output]
        made.name = f"{base}/{len(nodes)}"
        nodes.append(made)
    taken.update(name for made in nodes for name in made.output)
    unread = {p: name for p, name in parameters.items() if p not in used}
    note = json.loads(nodes[0].metadata_props[0].value)
    note |= {"name": node.name, "op": json.loads(signature(node)), "unread": unread}
    del nodes[0].metadata_props[:]
    nodes[0].metadata_props.append(StringStringEntryProto(key=NOTE, value=json.dumps(note)))
    return nodes
