"""Scan: recurrent networks. The body is imported for one step and lifted to all of them.

A state becomes a :class:`~codesign.ops.delay.Delay`: what the step before wrote. Its codes are
those of the quantizer that writes it, which is found before the body is imported, because the
body's first operations read it.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from codesign.frontend.check import where
from codesign.frontend.context import Body, Const, Context, attributes, handles
from codesign.frontend.fold import run_node
from codesign.frontend.handlers.neuron import carried
from codesign.frontend.layout import Axes, Tensor, inverse, move, to_axes
from codesign.frontend.names import printable
from codesign.frontend.orient_input import wanted_axes
from codesign.frontend.scan.body import body_of, outer_names
from codesign.frontend.scan.splice import Loop, Splice, State, turned
from codesign.frontend.scan.state import initial_codes, state_format
from codesign.frontend.window import MAX_ELEMENTS
from codesign.ir import Value


@handles("Scan")
def scan(ctx: Context, node: NodeProto) -> None:
    """States first, then scan inputs; the batch is the first axis, inside the body too."""
    loop = _read(ctx, node)
    inner = ctx.inner(loop.body, where(node))
    steps, given = _scan_inputs(ctx, inner, loop)
    ctx.bodies.append(Body(node, inner, steps, loop.states))
    outside: dict[str, Value] = {}  # value of the body -> the same for all steps
    for name, tensor in given.items():
        _enter(ctx, inner, outside, name, tensor)
    for name in outer_names(loop.body):
        if name in ctx.tensors:
            _enter(ctx, inner, outside, name, _repeated(ctx, node, ctx.tensors[name], steps))
    done = _import_constants(inner)
    states = _states(ctx, inner, loop, steps)
    _import(inner, done, steps)
    Splice(ctx, inner, loop, steps, outside, states).run()


def _read(ctx: Context, node: NodeProto) -> Loop:
    attrs = attributes(
        ctx, node, body=None, num_scan_inputs=1, scan_input_axes=None, scan_input_directions=None,
        scan_output_axes=None, scan_output_directions=None,
    )  # fmt: skip
    body = body_of(node)
    assert body is not None
    scans = int(str(attrs["num_scan_inputs"]))
    states = len(node.input) - scans
    for port in body.input:
        if port.type.tensor_type.elem_type not in (TensorProto.FLOAT, TensorProto.UNDEFINED):
            raise ctx.error(
                node, f"input '{printable(port.name)}' of its body is not float32",
                "carry dequantized float32 values",
            )  # fmt: skip

    def numbers(name: str, count: int) -> tuple[int, ...]:
        found = attrs[name]
        values = [int(n) for n in found] if isinstance(found, list) else [0] * count
        if len(values) != count:
            raise ctx.error(
                node, f"attribute '{name}' has {len(values)} entries", f"{count} are needed"
            )
        return tuple(values)

    outputs = len(body.output) - states
    ways = [numbers("scan_input_directions", scans), numbers("scan_output_directions", outputs)]
    if any(way not in (0, 1) for way in (*ways[0], *ways[1])):
        raise ctx.error(node, "a direction is neither 0 (forward) nor 1 (reverse)")
    backward = [tuple(bool(way) for way in both) for both in ways]
    in_axes, out_axes = numbers("scan_input_axes", scans), numbers("scan_output_axes", outputs)
    return Loop(node, body, states, in_axes, backward[0], out_axes, backward[1])


# What enters ------------------------------------------------------------------------------------


def _scan_inputs(ctx: Context, inner: Context, loop: Loop) -> tuple[int, dict[str, Tensor | Const]]:
    """Number of steps, and for each scan input the body's name and all steps of it: a tensor
    with the steps as first axis of its value (left out of ``axes``), or the constant of one."""
    found: dict[str, Tensor | Const] = {}
    counts: dict[str, int] = {}
    for name, inside, axis, backward in loop.scans:
        if name in ctx.constants:
            counts[name], found[inside] = _constant_steps(ctx, loop, name, axis)
            continue
        if name not in ctx.tensors:
            raise ctx.error(loop.node, f"input '{printable(name)}' is missing")
        x = ctx.tensors[name]
        axis += x.rank + 1 if axis < 0 else 0
        if not 1 <= axis <= x.rank:
            raise ctx.error(
                loop.node,
                f"attribute 'scan_input_axes' is {axis} for '{printable(name)}' of {x.rank + 1} "
                "axes: the steps lie along the batch",
                "put the batch first: (batch, steps, features) with scan_input_axes = [1]",
            )
        lies = wanted_axes(inner, inside, x.rank - 1)
        counts[name], found[inside] = _time_first(ctx, loop.node, x, axis - 1, backward, lies)
    if len(set(counts.values())) != 1:
        text = ", ".join(f"{printable(n)} {c}" for n, c in counts.items())
        raise ctx.error(loop.node, f"its scan inputs have different numbers of steps: {text}")
    return next(iter(counts.values())), found


def _constant_steps(ctx: Context, loop: Loop, name: str, axis: int) -> tuple[int, Const]:
    array = ctx.constants[name].array
    if not -array.ndim <= axis < array.ndim or not array.size:
        raise ctx.error(loop.node, f"constant scan input '{printable(name)}' has no axis {axis}")
    rows = np.moveaxis(array, axis, 0)
    if (rows != rows[:1]).any():
        raise ctx.error(
            loop.node,
            f"the constant scan input '{printable(name)}' differs from step to step",
            "one circuit does every step: use the same constants in each",
        )
    return len(rows), Const(rows[0])


def _time_first(
    ctx: Context, node: NodeProto, x: Tensor, time: int, backward: bool, lies: Axes | None
) -> tuple[int, Tensor]:
    """(steps, the tensor of one step as its value lies, steps first) of axis ``time``. ``lies``:
    how the body wants it, where it cares."""
    rest = tuple(size for axis, size in enumerate(x.shape) if axis != time)
    if not rest:
        raise ctx.error(node, "a step has no features", "scan (batch, steps, features)")
    inside = step_axes(rest) if lies is None else lies
    wanted = [axis + 1 for axis in inside]
    wanted.insert(time, 0)
    moved = to_axes(ctx, node, x, tuple(wanted))
    value, steps = moved.value, moved.value.shape[0]
    if backward:
        value = turned(ctx, node, value)
    return steps, Tensor(value, inside)


def step_axes(shape: tuple[int, ...]) -> Axes:
    """How the value of a step lies: as in the file, but a column (n, 1) with its elements last."""
    rank = len(shape)
    if rank < 2 or shape[-1] != 1:
        return tuple(range(rank))
    last = int(np.argmax(shape))
    order = [axis for axis in range(rank) if axis != last] + [last]
    return inverse(tuple(order))


def _repeated(ctx: Context, node: NodeProto, x: Tensor, steps: int) -> Tensor:
    """A tensor of the graph around the body, the same in every step."""
    shape = (steps, *x.value.shape)
    if steps * x.value.elements > MAX_ELEMENTS:
        raise ctx.error(node, f"{steps} copies of a value of {x.value.shape} are too large")
    positions = np.arange(x.value.elements, dtype=np.int64).reshape(x.value.shape)
    index = np.broadcast_to(positions, shape)
    return Tensor(move(ctx, node, x.value, index, axes=tuple(range(len(shape)))), x.axes)


def _enter(
    ctx: Context, inner: Context, outside: dict[str, Value], name: str, given: Tensor | Const
) -> None:
    """``name`` of the body: a constant, or one step of ``given``."""
    if isinstance(given, Const):
        inner.constants[name] = given
        return
    port = inner.port(name, given.value.shape[1:], given.value.format, given.axes)
    outside[port.name] = given.value
    if ctx.from_input(given.value):
        inner.note_unquantized(port)


# The body ---------------------------------------------------------------------------------------


def _import_constants(inner: Context) -> set[int]:
    """Import the nodes of the body that depend on constants only; their places."""
    done = set()
    for place, node in enumerate(inner.model.graph.node):
        if all(name in inner.constants for name in node.input if name):
            _import_node(inner, node)
            done.add(place)
    return done


def _states(ctx: Context, inner: Context, loop: Loop, steps: int) -> list[State]:
    found: list[State] = []
    of_neurons = carried(loop.body, loop.states)
    fixed = steps == 1 and not ctx.persistent  # the only step starts from constants
    for index in range(loop.states):
        name, port = loop.node.input[index], loop.body.input[index].name
        start = _start(ctx, loop.node, name)
        array = start.array
        if index in of_neurons:
            inner.neuron_starts[port] = array[:1]
            continue
        if fixed:
            inner.constants[port] = Const(array, None, start.source)
            continue
        format = state_format(inner, loop.node, loop.body, loop.states, index, array.shape[1:])
        axes = step_axes(array.shape[1:])
        row = array[0].transpose(inverse(axes))
        codes = initial_codes(ctx, loop.node, name, row, format)
        value = inner.port(port, row.shape, format, axes)
        found.append(State(value, axes, format, codes.reshape(-1), loop.body.output[index].name))
    return found


def _start(ctx: Context, node: NodeProto, name: str) -> Const:
    """The constant that state ``name`` starts from: [1 or batch, ...], rows alike."""
    start = ctx.constants.get(name)
    if start is None:
        raise ctx.error(
            node,
            f"the initial state '{printable(name)}' is computed while the network runs",
            "a state must start from a constant, usually zeros",
        )
    array = start.array
    batches = array.ndim >= 2 and array.shape[0] in (1, ctx.batch) and array.size > 0
    if not batches or (array != array[:1]).any():
        raise ctx.error(
            node,
            f"the initial state '{printable(name)}' has shape {array.shape}",
            "give (batch, features), the same for every frame of the batch",
        )
    return start


def _import(inner: Context, done: set[int], steps: int) -> None:
    for place, node in enumerate(inner.model.graph.node):
        if place in done:
            continue
        known = all(name in inner.constants for name in node.input if name)
        if steps == 1 and known and node.domain == "" and len(node.output) == 1:
            # The only step starts from constants: what onnxruntime makes of them is constant.
            arrays = [inner.constants[n].array if n else None for n in node.input]
            inner.define(node, Const(run_node(inner, node, arrays)[0]))
            continue
        _import_node(inner, node)


def _import_node(inner: Context, node: NodeProto) -> None:
    from codesign.frontend.qonnx import import_node

    import_node(inner, node)
