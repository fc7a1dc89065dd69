"""What an operator of ours is in standard ones: a function for each set of attributes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from onnx import FunctionProto, NodeProto, StringStringEntryProto, helper

from codesign.exchange.attributes import Setting
from codesign.exchange.body import Body
from codesign.exchange.coders import read_encoder
from codesign.exchange.decoder import read_decoder
from codesign.exchange.domain import DOMAIN, LIMIT, VERSION, is_decoder, is_encoder, is_neuron
from codesign.exchange.node import attributes_of, sample_of, schema_at
from codesign.exchange.schema import Parameter
from codesign.exchange.time_body import GIVEN, time_body
from codesign.exchange.trace import TableTrace, Trace, known
from codesign.neurons import Word

#: Key of a note at every node of a body: which configuration, and which of its nodes.
NOTE = "codesign.neuron"
#: Oldest opset of the standard operators that has all that bodies need.
OLDEST = 13


def signature(node: NodeProto) -> str:
    """The operator and attributes of ``node`` as JSON, the same for the same attributes."""
    return json.dumps({"op_type": node.op_type, "version": VERSION, **_attributes(node)})


def _attributes(node: NodeProto) -> Mapping[str, Setting]:
    if is_encoder(node):
        return read_encoder(node).attributes
    return read_decoder(node).attributes if is_decoder(node) else attributes_of(node)


def digest(text: str) -> str:
    """A short name for a signature."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def function_of(node: NodeProto, opset: int) -> FunctionProto:
    """The operator of ``node``, with its attributes, as a function of its inputs.

    Its body are exact int64 operators of the standard domain, traced from
    :meth:`codesign.neurons.Neuron.step`. Where the model would refuse its inputs (values that are
    no codes, codes outside of the state, bits lost where rounding is ``exact``) running the body
    fails: it reads beyond the end of a table.
    """
    if not is_neuron(node):
        return _function(node, opset, [GIVEN], ["out"], time_body(node))
    attributes, model = attributes_of(node), sample_of(node)
    parameters = schema_at(node).parameters(attributes)
    body = Body()
    given: tuple[Any, ...] = tuple(
        Trace(body, body.enter(name, frac, 1 - LIMIT, LIMIT - 1))
        for name, frac in zip(model.inputs, model.input_fracs, strict=True)
    )
    states: dict[str, Any] = {s.name: _entered(body, s.name, s.word) for s in model.states}
    constants = {p.name: _constant(body, p) for p in parameters}
    out, after = schema_at(node).substitute(model, constants).step(given, states)
    names = ["out", *(f"{s.name}_next" for s in model.states)]
    for name, code, frac in [
        ("out", out, model.out.frac),
        *((f"{s.name}_next", after[s.name], s.word.frac) for s in model.states),
    ]:
        body.leave(_name(body, code, given[0]), frac, name)
    given_names = [*model.inputs, *states, *constants]
    return _function(node, opset, given_names, names, body.finish(names))


def _function(
    node: NodeProto, opset: int, inputs: list[str], outputs: list[str], nodes: list[NodeProto]
) -> FunctionProto:
    text = signature(node)
    for index, made in enumerate(nodes):
        note = json.dumps({"digest": digest(text), "index": index})
        made.metadata_props.append(StringStringEntryProto(key=NOTE, value=note))
    return helper.make_function(
        DOMAIN,
        node.op_type,
        inputs,
        outputs,
        nodes,
        [helper.make_opsetid("", opset)],
        attributes=["version", *_attributes(node)],
        overload=digest(text),
    )


def _entered(body: Body, name: str, word: Word) -> Trace:
    return Trace(body, body.enter(name, word.frac, word.lo, word.hi))


def _constant(body: Body, parameter: Parameter) -> Trace | TableTrace:
    made = Trace(body, body.parameter(parameter.name, parameter.frac))
    return TableTrace(made, parameter.entries) if parameter.entries else made


def _name(body: Body, code: Any, like: Trace) -> str:
    """The tensor that holds ``code``, also where all elements are the same number."""
    code = known(code)
    if isinstance(code, Trace):
        return code.number()
    return body.op("Add", body.op("Mul", like.name, 0), int(code))
