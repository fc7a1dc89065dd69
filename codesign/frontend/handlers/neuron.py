"""Spiking neurons: operators of the exchange format (docs/EXCHANGE.md), in the body of a Scan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto

from codesign import neurons
from codesign.errors import UnsupportedModel
from codesign.exchange import DOMAIN, Read, is_neuron, read_node
from codesign.exchange.schema import SCHEMAS
from codesign.exchange.wire import to_codes
from codesign.formats import Real, ScaledInt
from codesign.frontend.check import where
from codesign.frontend.context import Context, handles
from codesign.frontend.layout import Tensor
from codesign.ir import Value
from codesign.ops.neuron import Neuron, state_name
from codesign.ops.on_grid import OnGrid


@handles(*SCHEMAS, domain=DOMAIN)
def neuron(ctx: Context, node: NodeProto) -> None:
    """One layer of spiking neurons; its states are those of the Scan around it."""
    read = read_node(node, {name: const.array for name, const in ctx.constants.items()})
    if not all(name in ctx.neuron_starts for name in read.ports.states):
        raise ctx.error(
            node,
            "its states are not carried by a Scan",
            "give a one-step model with its metadata, or a Scan: docs/EXCHANGE.md",
        )
    tensors = [ctx.tensor(node, index) for index in range(len(read.ports.inputs))]
    first = tensors[0]
    _check_channels(ctx, node, read, first)
    if any(t.axes != first.axes for t in tensors):
        raise ctx.error(node, "its inputs lie differently", "give them the same layout")
    model = _started(ctx, node, read, first)
    model, ins = _on_grid(ctx, node, model, [t.value for t in tensors])
    value = ctx.emit(
        node, Neuron(model, 0, ctx.persistent), ins, tensor=node.output[0], axes=first.axes
    )
    name = ctx.so_far().producer(value.name)
    assert name is not None
    for state, tensor in zip(model.states, read.ports.next_states, strict=True):
        ctx.neuron_states[state_name(name.name, state.name)] = tensor, first.axes, first.shape


def carried(body: GraphProto, states: int) -> set[int]:
    """The states of a Scan that belong to neurons: read and written by one of them, only."""
    found = set()
    for index in range(states):
        port, written = body.input[index].name, body.output[index].name
        readers = [n for n in body.node if port in n.input]
        writers = [n for n in body.node if written in n.output]
        if len(readers) == 1 and readers == writers and is_neuron(readers[0]):
            found.add(index)
    return found


def _check_channels(ctx: Context, node: NodeProto, read: Read, x: Tensor) -> None:
    """Parameters lie along the channels, which are last in the value."""
    if read.axis is None:
        return
    rank = x.rank
    if not -rank <= read.axis < 0 or x.axes[rank + read.axis] != rank - 1:
        raise ctx.error(
            node,
            "its parameters do not lie along the channels",
            "give (C,) for a dense layer, (C, 1, 1) for a convolution",
        )


def _started(ctx: Context, node: NodeProto, read: Read, x: Tensor) -> Any:
    """The model with the initial states that the Scan gives."""
    model = read.neuron
    for state, port in zip(model.states, read.ports.states, strict=True):
        array = ctx.neuron_starts[port]
        try:
            codes = to_codes(np.asarray(array, np.float32), state.word.frac)
        except ValueError as error:
            raise ctx.error(node, f"state '{state.name}' starts off its grid: {error}") from None
        if not codes.any():
            continue
        row = np.broadcast_to(codes, (1, *x.shape))[0]
        row = row.transpose(np.argsort(x.axes)).reshape(-1)
        row = row[:1] if (row == row[0]).all() else row
        if state.name != "v" or not isinstance(model, neurons.Lif):
            raise ctx.error(node, f"state '{state.name}' does not start at 0", "start it at 0")
        if len(row) > 1 and len(row) != x.value.shape[-1]:
            raise ctx.error(
                node, "its membranes start differently within a channel", "start a channel alike"
            )
        model = replace(model, v0=row)
    return model


def _on_grid(
    ctx: Context, node: NodeProto, model: Any, values: list[Value]
) -> tuple[Any, list[Value]]:
    """Inputs as codes, and the model for their scale: a coarser one is no other number."""
    ins, fracs = [], []
    for value, frac in zip(values, model.input_fracs, strict=True):
        if isinstance(value.format, Real):
            if ctx.from_input(value):
                raise ctx.error(node, "it reads the network input as float32", "quantize the input")
            value = ctx.emit(node, OnGrid(frac), [value], suffix="on_grid")
        ins.append(value)
        fracs.append(_frac_of(value, frac))
    if tuple(fracs) == model.input_fracs:
        return model, ins
    if any(own > given for own, given in zip(fracs, model.input_fracs, strict=True)):
        raise UnsupportedModel(
            f"its input is in steps of 2^-{max(fracs)}, finer than its 'input_frac' says",
            where=where(node),
            hint="give the neuron the input_frac of the product of weight and input scales",
        )
    return model.with_input_fracs(tuple(fracs)), ins


def _frac_of(value: Value, wanted: int) -> int:
    """Fraction bits of the codes of ``value``; ``wanted`` where its scale is no power of two,
    which the operation refuses."""
    format = value.format
    if not isinstance(format, ScaledInt) or len(format.scale) != 1:
        return wanted
    mantissa, exponent = np.frexp(format.scale[0])
    return int(1 - exponent) if mantissa == 0.5 else wanted
