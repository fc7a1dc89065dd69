"""A node executed: float32 tensors in and out, integers in between."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from codesign.exchange.domain import LIMIT, error, printable
from codesign.exchange.node import Read, read_node
from codesign.exchange.wire import to_codes, to_wire


def execute(node: NodeProto, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ``node`` writes, float32, by name. ``tensors``: all that it reads, float32 of one shape
    [...] but for the parameters, which are constants.

    Raises :class:`UnsupportedModel` where a value is no code, or a code not one of its state.
    """
    read = read_node(node, tensors)
    neuron, ports = read.neuron, read.ports
    shape = _shape(node, read, tensors)
    inputs = tuple(
        _codes(node, read, tensors, name, frac, 1 - LIMIT, LIMIT - 1)
        for name, frac in zip(ports.inputs, neuron.input_fracs, strict=True)
    )
    before = {
        s.name: _codes(node, read, tensors, name, s.word.frac, s.word.lo, s.word.hi)
        for s, name in zip(neuron.states, ports.states, strict=True)
    }
    try:
        out, after = neuron.step(inputs, before)
    except ValueError as reason:  # bits lost where rounding is exact
        hint = "give the state the fraction bits of its input, or name a rounding"
        raise error(node, str(reason), hint) from None
    found = {ports.out: _real(read, out, neuron.out.frac, shape)}
    for state, name in zip(neuron.states, ports.next_states, strict=True):
        found[name] = _real(read, after[state.name], state.word.frac, shape)
    return found


def _shape(node: NodeProto, read: Read, tensors: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The shape of all tensors at ``node``; they must agree."""
    shapes = {n: np.shape(tensors[n]) for n in (*read.ports.inputs, *read.ports.states)}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"'{printable(n)}' {s}" for n, s in shapes.items())
        raise error(node, f"its tensors differ in shape: {found}", "give all the same shape")
    shape = next(iter(shapes.values()))
    axis, channels = read.axis, read.neuron.channels
    if axis is not None and (len(shape) < -axis or shape[axis] != channels):
        what = f"its tensors have shape {shape}, its parameters {channels} channels on axis {axis}"
        raise error(node, what, "broadcast the parameters along the channels")
    return shape


def _codes(
    node: NodeProto,
    read: Read,
    tensors: Mapping[str, np.ndarray],
    name: str,
    frac: int,
    lo: int,
    hi: int,
) -> np.ndarray:
    """int64 [n, channels] codes of a tensor."""
    values = np.asarray(tensors[name])
    try:
        codes = to_codes(values, frac)
    except ValueError as reason:
        hint = "what neurons read are whole numbers of the steps their attributes name"
        raise error(node, f"tensor '{printable(name)}': {reason}", hint) from None
    wrong = codes[(codes < lo) | (codes > hi)]
    if wrong.size:
        what = f"tensor '{printable(name)}': code {wrong.flat[0]} lies outside {lo}..{hi}"
        raise error(node, what, "float32 holds 24 bits, a state the bits its attributes name")
    if read.axis is None:
        return codes.reshape(1, -1)
    return np.moveaxis(codes, read.axis, -1).reshape(-1, read.neuron.channels)


def _real(read: Read, codes: np.ndarray, frac: int, shape: tuple[int, ...]) -> np.ndarray:
    values = to_wire(codes, frac)
    if read.axis is None:
        return values.reshape(shape)
    axis = read.axis + len(shape)
    moved = (*shape[:axis], *shape[axis + 1 :], shape[axis])
    return np.moveaxis(values.reshape(moved), -1, axis)
