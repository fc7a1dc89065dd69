"""Runs a one-step exchange model over many steps, operator by operator in float64: every tensor
of every step, neurons by their integer model."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from codesign.exchange import is_neuron, read_node
from codesign.exchange.step import states_of
from codesign.exchange.wire import to_codes


def run_steps(model: ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors by name, float64 [steps, ...without batch], of inputs [steps, ...]."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    states = {s.name: s.initial.astype(np.float64) for s in states_of(model.graph)}
    seen: dict[str, list[np.ndarray]] = {}
    for step in x:
        now = {**constants, **states, "x": step[None].astype(np.float64)}
        for node in model.graph.node:
            run_node(node, now, constants)
        states = {name: now[f"{name}_next"] for name in states}
        for name, value in now.items():
            if name not in constants:
                seen.setdefault(name, []).append(value[0] if np.ndim(value) else value)
    return {name: np.stack(values) for name, values in seen.items()}


def run_node(node, now, constants) -> None:
    ins = [now[name] for name in node.input]
    if is_neuron(node):
        run_neuron(node, now, constants)
        return
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    now[node.output[0]] = OPS[node.op_type](attributes, *ins)


def run_neuron(node, now, constants) -> None:
    read = read_node(node, constants)
    model, shape = read.neuron, now[node.input[0]].shape
    channels_last = read.axis is not None and read.axis < -1

    def flat(codes: np.ndarray) -> np.ndarray:
        codes = np.moveaxis(codes, 1, -1) if channels_last else codes
        return codes.reshape(1, -1)

    def back(codes: np.ndarray, frac: int) -> np.ndarray:
        moved = (shape[0], *shape[2:], shape[1]) if channels_last else shape
        whole = codes.reshape(moved)
        whole = np.moveaxis(whole, -1, 1) if channels_last else whole
        return np.ldexp(whole.astype(np.float64), -frac)

    current = flat(to_codes(now[read.ports.inputs[0]], model.input_fracs[0]))
    old = {
        s.name: flat(to_codes(now[port], s.word.frac))
        for s, port in zip(model.states, read.ports.states, strict=True)
    }
    out, new = model.step((current,), old)
    now[read.ports.out] = back(out, model.out.frac)
    for state, port in zip(model.states, read.ports.next_states, strict=True):
        now[port] = back(new[state.name], state.word.frac)


def quant(attributes, x, scale, zero, bits):
    lo = -(2.0 ** (bits - 1)) if attributes["signed"] else 0.0
    hi = 2.0 ** (bits - attributes["signed"]) - 1
    return np.clip(np.rint(x / scale) + zero, lo, hi) * scale


def conv(attributes, x, w):
    import torch
    from torch.nn import functional

    n = x.ndim - 2
    pads = attributes["pads"]
    sides = [p for axis in reversed(range(n)) for p in (pads[axis], pads[axis + n])]
    x, w = functional.pad(torch.from_numpy(x), sides), torch.from_numpy(w.astype(np.float64))
    run = functional.conv1d if n == 1 else functional.conv2d
    rest = {"stride": attributes["strides"], "dilation": attributes["dilations"]}
    return run(x, w, groups=attributes["group"], **rest).numpy()


def max_pool(attributes, x):
    import torch
    from torch.nn import functional

    run = functional.max_pool1d if x.ndim == 3 else functional.max_pool2d
    kernel, stride = attributes["kernel_shape"], attributes["strides"]
    pads = attributes["pads"][: x.ndim - 2]
    return run(torch.from_numpy(x), kernel, stride, pads).numpy()


OPS = {
    "Quant": quant,
    "MatMul": lambda _, a, b: a @ b.astype(np.float64),
    "Add": lambda _, a, b: a + b,
    "Identity": lambda _, a: a,
    "Reshape": lambda _, a, shape: a.reshape(shape),
    "Conv": conv,
    "MaxPool": max_pool,
}
