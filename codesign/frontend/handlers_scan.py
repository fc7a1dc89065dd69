"""Scan: recurrent networks. The body is imported for one step and lifted to all of them.

A state becomes a :class:`~codesign.ops.delay.Delay`: what the step before wrote. Its codes are
those of the quantizer that writes it, which is found before the body is imported, because the
body's first operations read it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real
from codesign.frontend.check import where
from codesign.frontend.context import Const, Context, attributes, handles
from codesign.frontend.fold import run_node
from codesign.frontend.layout import Axes, Tensor, inverse, move, to_axes
from codesign.frontend.lift import lift
from codesign.frontend.names import printable
from codesign.frontend.scan_body import body_of, outer_names
from codesign.frontend.scan_state import initial_codes, state_format
from codesign.frontend.window import MAX_ELEMENTS
from codesign.ir import Node, Value
from codesign.ops.delay import Delay
from codesign.ops.reshape import Reshape


@dataclass(frozen=True)
class Loop:
    """A Scan node, checked. Axes count the batch; ``backward``: whether steps run from the end."""

    node: NodeProto
    body: GraphProto
    states: int
    in_axes: tuple[int, ...]
    in_backward: tuple[bool, ...]
    out_axes: tuple[int, ...]
    out_backward: tuple[bool, ...]

    @property
    def scans(self) -> list[tuple[str, str, int, bool]]:
        """(tensor, body's name, axis, backward) of the scan inputs."""
        names = [port.name for port in self.body.input][self.states :]
        given = list(self.node.input)[self.states :]
        return list(zip(given, names, self.in_axes, self.in_backward, strict=True))


@handles("Scan")
def scan(ctx: Context, node: NodeProto) -> None:
    """States first, then scan inputs; the batch is the first axis, inside the body too."""
    loop = _read(ctx, node)
    steps, given = _scan_inputs(ctx, loop)
    inner = ctx.inner(loop.body, where(node))
    outside: dict[str, Value] = {}  # value of the body -> the same for all steps
    for name, tensor in given.items():
        _enter(ctx, inner, outside, name, tensor)
    for name in outer_names(loop.body):
        if name in ctx.tensors:
            _enter(ctx, inner, outside, name, _repeated(ctx, node, ctx.tensors[name], steps))
    done = _import_constants(inner)
    states = _states(ctx, inner, loop, steps)
    _import(inner, done, steps)
    _Splice(ctx, inner, loop, steps, outside, states).run()


def _read(ctx: Context, node: NodeProto) -> Loop:
    attrs = attributes(
        ctx, node, body=None, num_scan_inputs=1, scan_input_axes=None, scan_input_directions=None,
        scan_output_axes=None, scan_output_directions=None, directions=None,
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


# What enters ---------------------------------------------------------------------------------------


def _scan_inputs(ctx: Context, loop: Loop) -> tuple[int, dict[str, Tensor | Const]]:
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
        counts[name], found[inside] = _time_first(ctx, loop.node, x, axis - 1, backward)
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
    ctx: Context, node: NodeProto, x: Tensor, time: int, backward: bool
) -> tuple[int, Tensor]:
    """(steps, the tensor of one step as its value lies, steps first) of axis ``time``."""
    rest = tuple(size for axis, size in enumerate(x.shape) if axis != time)
    if not rest:
        raise ctx.error(node, "a step has no features", "scan (batch, steps, features)")
    inside = step_axes(rest)
    wanted = [axis + 1 for axis in inside]
    wanted.insert(time, 0)
    moved = to_axes(ctx, node, x, tuple(wanted))
    value, steps = moved.value, moved.value.shape[0]
    if backward:
        value = _turned(ctx, node, value)
    return steps, Tensor(value, inside)


def step_axes(shape: tuple[int, ...]) -> Axes:
    """How the value of a step lies: as in the file, but a column (n, 1) with its elements last."""
    rank = len(shape)
    if rank < 2 or shape[-1] != 1:
        return tuple(range(rank))
    last = int(np.argmax(shape))
    order = [axis for axis in range(rank) if axis != last] + [last]
    return inverse(tuple(order))


def _turned(ctx: Context, node: NodeProto, value: Value) -> Value:
    """The steps of ``value`` in reverse order."""
    index = np.arange(value.elements, dtype=np.int64).reshape(value.shape)[::-1]
    axes = tuple(range(len(value.shape)))
    return move(ctx, node, value, index, axes=axes)


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


# The body ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """A state variable: the port that reads it in the body, its codes and where they start."""

    port: Value
    axes: Axes
    format: Format
    initial: np.ndarray
    written: str  # the tensor of the body


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
    for index in range(loop.states):
        name, port = loop.node.input[index], loop.body.input[index].name
        start = ctx.constants.get(name)
        if start is None:
            raise ctx.error(
                loop.node,
                f"the initial state '{printable(name)}' is computed while the network runs",
                "a state must start from a constant, usually zeros",
            )
        array = start.array
        batches = array.ndim >= 2 and array.shape[0] in (1, ctx.batch) and array.size > 0
        if not batches or (array != array[:1]).any():
            raise ctx.error(
                loop.node,
                f"the initial state '{printable(name)}' has shape {array.shape}",
                "give (batch, features), the same for every frame of the batch",
            )
        if steps == 1:
            inner.constants[port] = Const(array, None, start.source)
            continue
        format = state_format(inner, loop.node, loop.body, loop.states, index, array.shape[1:])
        axes = step_axes(array.shape[1:])
        row = array[0].transpose(inverse(axes))
        codes = initial_codes(ctx, loop.node, name, row, format)
        value = inner.port(port, row.shape, format, axes)
        found.append(State(value, axes, format, codes.reshape(-1), loop.body.output[index].name))
    return found


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


# What leaves ---------------------------------------------------------------------------------------


class _Splice:
    """Puts the lifted body into the graph around it."""

    def __init__(
        self,
        ctx: Context,
        inner: Context,
        loop: Loop,
        steps: int,
        outside: dict[str, Value],
        states: list[State],
    ) -> None:
        self._ctx, self._inner, self._loop, self._steps = ctx, inner, loop, steps
        self._states = states
        self._lifted = dict(outside)

    def run(self) -> None:
        """Delays first, then the body, then what leaves it."""
        written = [self._written(state) for state in self._states]
        flat = [self._delay(s, w) for s, w in zip(self._states, written, strict=True)]
        for node in self._inner.so_far().nodes:
            self._body_node(node)
        for value, name in zip(written, flat, strict=True):
            if name != self._name(value):
                self._reshape(self._lifted[value.name], self._flat(value), name)
        for name, tensor in self._inner.tensors.items():  # also those that share a value
            if tensor.value.name in self._lifted:
                value, axes = self._lifted[tensor.value.name], tensor.axes
                lifted = Tensor(value, (0, *(a + 1 for a in axes)))
                self._ctx.tensors.setdefault(name, lifted)
        self._outputs()

    def _written(self, state: State) -> Value:
        """What the body writes as the new state, in the layout in which it is read."""
        inner, node = self._inner, self._loop.node
        if state.written not in inner.tensors:
            raise self._ctx.error(
                node, f"the state '{printable(state.written)}' is constant", "leave it out"
            )
        value = to_axes(inner, node, inner.tensors[state.written], state.axes).value
        if (value.shape, value.format) != (state.port.shape, state.format):
            raise self._ctx.error(
                node,
                f"the state read as {state.port.shape} {state.format.label()} is written as "
                f"{value.shape} {value.format.label()} ('{printable(state.written)}')",
                "write every state with one quantizer, and start it with its shape",
            )
        return value

    def _name(self, value: Value) -> str:
        """What the lifted ``value`` of the body is called."""
        return self._lifted[value.name].name if value.name in self._lifted else value.name

    def _flat(self, value: Value) -> tuple[int, int]:
        return self._steps, value.elements

    def _delay(self, state: State, written: Value) -> str:
        """Append the Delay of ``state``; the name of the value that it is to read."""
        ctx, vector = self._ctx, len(state.port.shape) == 1
        label = state.port.name
        node, name = ctx.free_names(f"{label}_delay", f"{label}_before")
        op = Delay(state.initial, state.format, self._steps)
        value = Value(name, self._flat(written), state.format)
        # States may read each other, so a delay can be read under its final name at once.
        source = self._delayed_name(written) if vector else ctx.free_names("", f"{label}_after")[1]
        self._append(Node(node, op, (source,), (name,)), value, (0, 1))
        if not vector:
            value = self._reshape(value, (self._steps, *state.port.shape))
        self._lifted[state.port.name] = value
        return source

    def _delayed_name(self, written: Value) -> str:
        ports = {state.port.name for state in self._states}
        if written.name in ports and written.name not in self._lifted:
            raise self._ctx.error(
                self._loop.node,
                f"a state is another state of the step before ('{written.name}')",
                "order the states so that each reads those before it",
            )
        return self._name(written)

    def _reshape(self, source: Value, shape: tuple[int, ...], name: str = "") -> Value:
        op = Reshape(shape)
        node, made = self._ctx.free_names(f"{source.name}_layout", name or f"{source.name}_view")
        value = Value(name or made, shape, source.format)
        axes = tuple(range(len(shape)))
        self._append(Node(node, op, (source.name,), (value.name,)), value, axes)
        return value

    def _body_node(self, node: Node) -> None:
        graph, inner = self._inner.so_far(), self._inner
        ins, out = graph.ins(node), graph.out(node)
        lifted = [self._lifted[value.name] for value in ins]
        origin = inner.node_names[node.name]
        try:
            op = lift(node.op, ins, self._steps)
            shape, format = op.infer(*lifted)
        except UnsupportedModel as error:
            place = f"node '{printable(origin)}' ({node.op.kind}) in {where(self._loop.node)}"
            raise UnsupportedModel(error.what, where=place, hint=error.hint) from None
        assert (shape, format) == ((self._steps, *out.shape), out.format), node.name
        value = Value(out.name, shape, format)
        self._lifted[out.name] = value
        tensor = inner.tensor_names.get(out.name, "")
        axes = inner.tensor_axes.get(out.name, tuple(range(len(out.shape))))
        made = Node(node.name, op, tuple(v.name for v in lifted), (value.name,))
        self._append(made, value, (0, *(a + 1 for a in axes)), tensor, origin)

    def _append(
        self, node: Node, value: Value, axes: Axes, tensor: str = "", origin: str = ""
    ) -> None:
        self._ctx.adopt(node, value, tensor, axes, origin or self._loop.node.name)
        before = [self._lifted[n] for n in node.inputs if n in self._lifted]
        if isinstance(value.format, Real) and any(self._ctx.from_input(v) for v in before):
            self._ctx.note_unquantized(value)

    def _outputs(self) -> None:
        loop, ctx = self._loop, self._ctx
        wanted = {ctx.model.graph.output[0].name}
        for index, name in enumerate(loop.node.output):
            if not name or not (name in wanted or ctx.readers(name)):
                continue
            inside = loop.body.output[index].name
            if inside not in self._inner.tensors:
                raise ctx.error(loop.node, f"its output '{printable(name)}' is constant")
            tensor = self._inner.tensors[inside]
            value = self._lifted[tensor.value.name]
            if index < loop.states:
                self._last(index, value, tensor.axes)
            else:
                self._stacked(index, value, tensor.axes)

    def _last(self, index: int, value: Value, axes: Axes) -> None:
        """A final state: the value's last step."""
        shape = value.shape[1:]
        size = value.elements // self._steps
        last = np.arange(value.elements - size, value.elements, dtype=np.int64).reshape(shape)
        name = self._loop.node.output[index]
        found = move(self._ctx, self._loop.node, value, last, axes=axes, tensor=name)
        self._ctx.alias(self._loop.node, found, axes, index)

    def _stacked(self, index: int, value: Value, axes: Axes) -> None:
        """A scan output: all steps along the axis that the node says."""
        loop, number = self._loop, index - self._loop.states
        axis, rank = loop.out_axes[number], len(axes) + 2
        axis += rank if axis < 0 else 0
        if not 1 <= axis < rank:
            raise self._ctx.error(
                loop.node,
                f"attribute 'scan_output_axes' is {axis}: the steps would lie along the batch",
                "put the batch first: scan_output_axes = [1]",
            )
        if loop.out_backward[number]:
            value = _turned(self._ctx, loop.node, value)
        stacked = [a + 1 for a in axes]
        stacked.insert(axis - 1, 0)
        self._ctx.alias(loop.node, value, tuple(stacked), index)


