"""The body of a Scan, imported for one step, becomes part of the graph around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, NodeProto

from codesign.errors import UnsupportedModel
from codesign.formats import Format, Real
from codesign.frontend.check import where
from codesign.frontend.context import Context
from codesign.frontend.layout import Axes, Tensor, move, to_axes
from codesign.frontend.lift import lift
from codesign.frontend.names import printable
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


@dataclass(frozen=True)
class State:
    """A state variable: the port that reads it in the body, its codes and where they start."""

    port: Value
    axes: Axes
    format: Format
    initial: np.ndarray
    written: str  # the tensor of the body


def turned(ctx: Context, node: NodeProto, value: Value) -> Value:
    """The steps of ``value`` in reverse order."""
    index = np.arange(value.elements, dtype=np.int64).reshape(value.shape)[::-1]
    axes = tuple(range(len(value.shape)))
    return move(ctx, node, value, index, axes=axes)


class Splice:
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
        self._neurons()
        self._outputs()

    def _neurons(self) -> None:
        """The states that neurons keep, after every step."""
        for name, (tensor, axes, shape) in self._inner.neuron_states.items():
            lifted = (0, *(a + 1 for a in axes))
            self._ctx.neuron_states[name] = tensor, lifted, (self._steps, *shape)

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
        op = Delay(state.initial, state.format, self._steps, persistent=ctx.persistent)
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
            value = turned(self._ctx, loop.node, value)
        stacked = [a + 1 for a in axes]
        stacked.insert(axis - 1, 0)
        self._ctx.alias(loop.node, value, tuple(stacked), index)
