"""Neuron models to nodes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from codesign.errors import UnsupportedModel
from codesign.exchange.attributes import Rule, Value, check_operator, read_attributes
from codesign.exchange.domain import DOMAIN, VERSION, error, printable
from codesign.exchange.schema import SCHEMAS, Parameter, Schema, schema_of
from codesign.exchange.wire import to_codes, to_wire
from codesign.neurons import Neuron


@dataclass(frozen=True)
class NeuronNode:
    """A node and the constants it reads."""

    node: NodeProto
    initializers: tuple[TensorProto, ...]


@dataclass(frozen=True)
class Ports:
    """Names at a node, by what they are. ``parameters``: of the constant inputs, by name."""

    inputs: tuple[str, ...]
    states: tuple[str, ...]
    parameters: dict[str, str]
    out: str
    next_states: tuple[str, ...]


def neuron_node(
    model: Neuron,
    *,
    name: str,
    inputs: Sequence[str],
    out: str,
    states: Sequence[str] = (),
    next_states: Sequence[str] = (),
    trailing: int = 0,
) -> NeuronNode:
    """``model`` as a node called ``name``, which reads ``inputs`` and writes ``out``.

    ``states``, ``next_states``: names of its states before and after the step, in the order of
    ``model.states``; by default ``NAME.v``, ``NAME.v_next`` and so on. ``trailing``: how many axes
    follow the channels in its tensors, 0 for (batch, channels), 2 for (batch, channels, h, w).
    Raises :class:`UnsupportedModel` where float32 wires cannot hold the model's codes.
    """
    kept = [state.name for state in model.states]
    states = list(states) or [f"{name}.{state}" for state in kept]
    next_states = list(next_states) or [f"{name}.{state}_next" for state in kept]
    lengths = (len(inputs), len(states), len(next_states))
    if lengths != (len(model.inputs), len(kept), len(kept)):
        raise ValueError(f"{model.inputs} in, states {kept}; got {lengths} names")
    try:
        schema = schema_of(model)
        attributes = schema.attributes(model)
        schema.check(attributes)
        constants = _constants(schema, attributes, model, name, trailing)
    except ValueError as reason:
        hint = "docs/EXCHANGE.md says what the exchange format can hold"
        raise UnsupportedModel(str(reason), where=f"neuron '{name}'", hint=hint) from None
    node = helper.make_node(
        schema.op_type,
        [*inputs, *states, *(tensor.name for tensor in constants)],
        [out, *next_states],
        name=name,
        domain=DOMAIN,
    )
    for key, value in {"version": VERSION, **attributes}.items():
        node.attribute.append(helper.make_attribute(key, value))
    read_neuron(node, {tensor.name: numpy_helper.to_array(tensor) for tensor in constants})
    return NeuronNode(node, tuple(constants))


def _constants(
    schema: Schema, attributes: Mapping[str, Value], model: Neuron, name: str, trailing: int
) -> list[TensorProto]:
    codes, found = schema.codes(model), []
    for parameter in schema.parameters(attributes):
        array = codes[parameter.name]
        shape = (len(array), *[1] * trailing) if len(array) > 1 else (1,)
        shape = (len(array),) if parameter.entries else shape
        try:
            values = to_wire(array.reshape(shape), parameter.frac)
        except ValueError as reason:
            raise ValueError(f"{parameter.name}: {reason}") from None
        found.append(numpy_helper.from_array(values, f"{name}.{parameter.name}"))
    return found


@dataclass(frozen=True)
class Read:
    """A node, read. ``axis``: that of its channels, counted from the end (-1 for the last); None
    where all neurons are alike."""

    neuron: Neuron
    attributes: dict[str, Value]
    ports: Ports
    axis: int | None


def read_neuron(node: NodeProto, constants: Mapping[str, np.ndarray]) -> Neuron:
    """The model ``node`` stands for. ``constants``: every tensor known, by name.

    Raises :class:`UnsupportedModel` where an attribute is missing, unknown or wrong, a parameter
    is no constant or not exact, or the operator is not of this version.
    """
    return read_node(node, constants).neuron


def read_node(node: NodeProto, constants: Mapping[str, np.ndarray]) -> Read:
    """As :func:`read_neuron`, with the names and the layout at ``node``."""
    schema = schema_at(node)
    attributes = attributes_of(node)
    parameters = schema.parameters(attributes)
    ports = ports_of(node)
    arrays = {p.name: _array(node, p, ports.parameters[p.name], constants) for p in parameters}
    for p in parameters:
        if p.entries and arrays[p.name].shape != (p.entries,):
            what = f"table '{p.name}' has shape {arrays[p.name].shape}"
            raise error(node, what, f"give ({p.entries},), as its attributes say")
    axis = _channel_axis(node, {p.name: arrays[p.name] for p in parameters if not p.entries})
    codes = {}
    for parameter in parameters:
        try:
            codes[parameter.name] = to_codes(arrays[parameter.name], parameter.frac).reshape(-1)
        except ValueError as reason:
            hint = "train or round it to the format, or give the format more fraction bits"
            raise error(node, f"parameter '{parameter.name}': {reason}", hint) from None
    neuron = _build(node, schema, attributes, codes)
    if max(neuron.out.bits, *(state.word.bits for state in neuron.states)) > 24:
        what = f"its output has {neuron.out.bits} bits, float32 holds 24"
        raise error(node, what, "give its tables fewer fraction bits")
    return Read(neuron, attributes, ports, axis)


def schema_at(node: NodeProto) -> Schema:
    """The operator of ``node``; an error where it is not ours, or of another version."""
    if node.domain != DOMAIN or node.op_type not in SCHEMAS:
        what = f"operator '{printable(node.op_type)}' of domain '{printable(node.domain)}'"
        raise error(node, f"{what} is no neuron", f"domain '{DOMAIN}' has {', '.join(SCHEMAS)}")
    check_operator(node)
    return SCHEMAS[node.op_type]


def attributes_of(node: NodeProto) -> dict[str, Value]:
    """The attributes of ``node``, checked, ``version`` left out."""
    schema = schema_at(node)

    def rules(found: Mapping[str, Value]) -> Mapping[str, Rule]:
        return {"version": range(VERSION, VERSION + 1), **schema.rules(found)}

    attributes = read_attributes(node, rules)
    del attributes["version"]
    try:
        schema.check(attributes)
    except ValueError as reason:
        raise error(node, str(reason), "docs/EXCHANGE.md lists the attributes") from None
    return attributes


def sample_of(node: NodeProto) -> Neuron:
    """A model with the attributes of ``node`` and any parameters."""
    schema, attributes = schema_at(node), attributes_of(node)
    codes = {p.name: p.codes() for p in schema.parameters(attributes)}
    return _build(node, schema, attributes, codes)


def ports_of(node: NodeProto) -> Ports:
    """The names at ``node``: as many as its attributes ask for."""
    schema, attributes = schema_at(node), attributes_of(node)
    model = sample_of(node)
    states = [state.name for state in model.states]
    names = [parameter.name for parameter in schema.parameters(attributes)]
    wanted = [*model.inputs, *states, *names]
    if len(node.input) != len(wanted) or not all(node.input):
        found = ", ".join(printable(n) or "(none)" for n in node.input) or "none"
        raise error(node, f"its inputs are {found}", f"give {', '.join(wanted)}, in this order")
    if len(node.output) != 1 + len(states) or not all(node.output):
        give = ", ".join(["its result", *(f"{s}_next" for s in states)])
        raise error(node, f"it has {len(node.output)} outputs", f"give {give}, in this order")
    first, end = len(model.inputs), len(model.inputs) + len(states)
    return Ports(
        tuple(node.input[:first]),
        tuple(node.input[first:end]),
        dict(zip(names, node.input[end:], strict=True)),
        node.output[0],
        tuple(node.output[1:]),
    )


def _build(
    node: NodeProto, schema: Schema, attributes: Mapping[str, Value], codes: dict[str, np.ndarray]
) -> Neuron:
    try:
        return schema.build(attributes, codes)
    except ValueError as reason:
        hint = "docs/EXCHANGE.md lists the attributes and parameters"
        raise error(node, str(reason), hint) from None


def _array(
    node: NodeProto, parameter: Parameter, name: str, constants: Mapping[str, np.ndarray]
) -> np.ndarray:
    if name not in constants:
        raise error(
            node,
            f"parameter '{parameter.name}' ('{printable(name)}') is computed at run time",
            "make it an initializer: a neuron's parameters are constants",
        )
    array = np.asarray(constants[name])
    if array.dtype != np.float32:
        what = f"parameter '{parameter.name}' is {array.dtype}"
        raise error(node, what, "every tensor of a neuron is float32")
    return array


def _channel_axis(node: NodeProto, arrays: Mapping[str, np.ndarray]) -> int | None:
    """Parameters hold one number, or one for each channel: then the channels lie along the only
    axis longer than 1, which is the same, counted from the end, for all of them."""
    axes = set()
    for name, array in arrays.items():
        long = [axis - array.ndim for axis, size in enumerate(array.shape) if size != 1]
        if len(long) > 1 or not array.size:
            what = f"parameter '{name}' has shape {array.shape}"
            raise error(node, what, "give one number, or a vector with one for each channel")
        axes |= set(long)
    if len(axes) > 1:
        found = ", ".join(f"'{name}' {array.shape}" for name, array in arrays.items())
        what = f"its parameters lie along different axes: {found}"
        raise error(node, what, "broadcast all of them along the channels")
    return next(iter(axes), None)
