"""State of one import: what is constant, what is computed, and the graph built so far."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.exchange.metadata import read_metadata
from codesign.exchange.sequence import is_spiking
from codesign.formats import Format, Real
from codesign.frontend import label
from codesign.frontend.check import input_shape, port_format, tensor_array, where
from codesign.frontend.layout import Axes, Tensor, identity
from codesign.frontend.names import Names, printable, tidy
from codesign.frontend.once import Once
from codesign.frontend.scan.body import names_read
from codesign.ir import Graph, Node, Op, Value

#: The hint where there is no better one.
SEE = "docs/IMPORT.md lists what is supported; 'codesign check' shows how far this model gets"


@dataclass(frozen=True)
class Quantized:
    """Integer view of a constant. ``codes``: int64, zero point subtracted; ``scale``: float32 of
    the same shape; ``limits``: least and greatest code its format has, None where unknown."""

    codes: np.ndarray
    scale: np.ndarray
    limits: tuple[int, int] | None = None


@dataclass(frozen=True)
class Const:
    """A tensor known at import: its ``array``, its integer view if a quantizer made it, and the
    name of the initializer it came from."""

    array: np.ndarray
    quantized: Quantized | None = None
    source: str = ""


@dataclass(frozen=True)
class Body:
    """The body of a Scan as it was imported for one of ``steps`` steps; the first ``states`` of
    its inputs and outputs are states. ``inner`` knows what was imported, also where that failed."""

    node: NodeProto
    inner: Context
    steps: int
    states: int


#: Operations with weights are layers, named after their module or numbered.
_LAYERS = {"dense": "fc", "conv": "conv"}


class Context:
    """Built up node by node by the handlers."""

    def __init__(self, model: ModelProto) -> None:
        (port,) = model.graph.input
        shape = input_shape(port)
        self.model = model
        self.opset = next(o.version for o in model.opset_import if o.domain == "")
        self.batch = shape[0]
        self.constants: dict[str, Const] = {
            t.name: Const(tensor_array(t, f"initializer '{printable(t.name)}'"), None, t.name)
            for t in model.graph.initializer
        }
        self.tensors: dict[str, Tensor] = {}
        self.tensor_names: dict[str, str] = {}
        self.tensor_axes: dict[str, Axes] = {}
        self.moved: dict[tuple[object, ...], Value] = {}
        self.padded: dict[str, tuple[Tensor, tuple[int, ...]]] = {}
        self.node_names: dict[str, str] = {}
        #: Whether the states of neurons go on from window to window.
        self.persistent = is_spiking(model) and not read_metadata(model).reset_at_window
        #: Where those states start that a Scan carries: the body's tensor -> its array.
        self.neuron_starts: dict[str, np.ndarray] = {}
        #: Name among values -> the tensor of a neuron's state, its layout and its shape there.
        self.neuron_states: dict[str, tuple[str, Axes, tuple[int, ...]]] = {}
        #: The Scans so far, for those who look into them.
        self.bodies: list[Body] = []
        self._nodes: list[Node] = []
        self._all: dict[str, Value] = {}
        self._value_names = Names()
        self._node_names = Names()
        self._layers: dict[str, int] = {}
        self._axes: dict[str, Axes] = {}
        self._once = Once()
        format = port_format(port)
        self.input = self._new_value(tidy(port.name), shape[1:], format, port.name, None)
        self._unquantized = {self.input.name}
        #: Tensors that hold the integers of the network input itself.
        self.raw = set() if isinstance(format, Real) else {port.name}

    def inner(self, body: GraphProto, place: str) -> Context:
        """A context for the body of a Scan: the constants of this one and its own, no values yet.
        Names stay unique over both. ``place`` is named where a constant is malformed."""
        made = copy(self)
        made.model = ModelProto(opset_import=self.model.opset_import)
        made.model.graph.CopyFrom(body)
        own = {
            t.name: Const(tensor_array(t, f"{place}, '{printable(t.name)}'"), None, t.name)
            for t in body.initializer
        }
        made.constants = {**self.constants, **own}
        made.tensors, made.tensor_names, made.tensor_axes = {}, {}, {}
        made.moved, made.padded, made.node_names = {}, {}, {}
        made.neuron_starts, made.neuron_states = {}, {}
        made._nodes, made._all, made._axes, made._unquantized = [], {}, {}, set()
        made._once = Once()
        return made

    def port(self, tensor: str, shape: tuple[int, ...], format: Format, axes: Axes) -> Value:
        """A value that comes from outside, called ``tensor``; for contexts of Scan bodies."""
        return self._new_value(tidy(tensor), shape, format, tensor, axes)

    def adopt(self, node: Node, value: Value, tensor: str, axes: Axes, origin: str) -> None:
        """Append a node that was built elsewhere, under names handed out by this context, and
        the value it writes: ``tensor`` of the file, if it has a name there."""
        self._nodes.append(node)
        self._all[value.name] = value
        self._axes[value.name] = axes
        self.node_names[node.name] = origin
        if tensor:
            self.tensors[tensor] = Tensor(value, axes)
            self.tensor_names[value.name] = tensor
            self.tensor_axes[value.name] = axes

    def note_unquantized(self, value: Value) -> None:
        """No quantizer lies between the network input and ``value``."""
        self._unquantized.add(value.name)

    def use_names(self, nodes: Names, values: Names) -> None:
        """Take names from these; for a trial that leaves no trace."""
        self._node_names, self._value_names, self._layers = nodes, values, {}

    def free_names(self, node: str, value: str) -> tuple[str, str]:
        """Unique names for a node and a value, as near to the wishes as can be."""
        return self._node_names.unique(node), self._value_names.unique(value)

    # reading -------------------------------------------------------------------------------

    def constant(self, node: NodeProto, index: int) -> Const | None:
        """Input ``index`` if it is known at import, else None (also when it is absent)."""
        return self.constants.get(node.input[index]) if index < len(node.input) else None

    def value(self, node: NodeProto, index: int) -> Value:
        """Input ``index`` as a computed value, in the IR's layout."""
        return self.tensor(node, index).value

    def tensor(self, node: NodeProto, index: int) -> Tensor:
        """Input ``index`` as a computed tensor: the value and its layout."""
        name = node.input[index] if index < len(node.input) else ""
        if name in self.tensors:
            return self.tensors[name]
        if name in self.constants:
            raise self.error(
                node, f"input {index} ('{printable(name)}') is a constant", "swap the inputs"
            )
        raise self.error(node, f"input {index} is missing", "export the model again")

    def unpadded(self, node: NodeProto, index: int) -> tuple[Tensor, tuple[int, ...]]:
        """Input ``index``, and the zeros (begins, then ends) of a Pad before it that was left to
        ``node``."""
        if index < len(node.input) and node.input[index] in self.padded:
            return self.padded[node.input[index]]
        return self.tensor(node, index), ()

    def readers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read ``tensor``."""
        return [n for n in self.model.graph.node if tensor in names_read(n)]

    def from_input(self, value: Value) -> bool:
        """Whether no quantizer lies between the network input and ``value``."""
        return value.name in self._unquantized

    def error(self, node: NodeProto, what: str, hint: str = "") -> UnsupportedModel:
        """The error to raise, naming ``node``."""
        return UnsupportedModel(what, where=where(node), hint=hint or SEE)

    # writing -------------------------------------------------------------------------------

    def emit(
        self,
        node: NodeProto,
        op: Op,
        ins: list[Value],
        *,
        tensor: str = "",
        suffix: str = "",
        axes: Axes | None = None,
    ) -> Value:
        """Append ``op``. ``tensor`` is the ONNX name of its result; a step inside one ONNX node
        has none and is named after the layer with ``suffix``. ``axes``: its layout, by default
        that of the first input (the file's own order if the rank differs). A function of values
        that was emitted before is not emitted again."""
        try:
            shape, format = op.infer(*ins)
        except UnsupportedModel as error:
            hint = error.hint or SEE
            raise UnsupportedModel(error.what, where=where(node), hint=hint) from None
        except ValueError as error:
            raise UnsupportedModel(str(error), where=where(node), hint=SEE) from None
        if axes is None:
            axes = self._layout(node, ins[0])
            axes = axes if len(axes) == len(shape) else None
        found = self._once.find(op, ins)
        if found is not None:
            if tensor:
                self._is(tensor, found, identity(len(shape)) if axes is None else axes)
            return found
        name = self._node_names.unique(self._label(node, op, suffix))
        wish = label.value(node, tensor, name) if tensor else f"{name}_out"
        value = self._new_value(wish, shape, format, tensor, axes)
        self._nodes.append(Node(name, op, tuple(v.name for v in ins), (value.name,)))
        self._once.note(op, ins, value)
        if isinstance(format, Real) and any(v.name in self._unquantized for v in ins):
            self._unquantized.add(value.name)
        self.node_names[name] = node.name
        return value

    def forget(self, node: Node) -> None:
        """Take back ``node``, whose result nobody will read."""
        self._nodes.remove(node)
        self._once.forget(node.output)
        for held in (self._all, self._axes, self.tensor_names, self.tensor_axes):
            held.pop(node.output, None)
        del self.node_names[node.name]
        for tensor in [t for t, at in self.tensors.items() if at.value.name == node.output]:
            del self.tensors[tensor]

    def _layout(self, node: NodeProto, value: Value) -> Axes:
        """Layout of ``value`` as ``node`` reads it, or as a step inside the node made it."""
        for name in node.input:
            if name in self.tensors and self.tensors[name].value.name == value.name:
                return self.tensors[name].axes
        return self._axes[value.name]

    def alias(
        self, node: NodeProto, value: Value, axes: Axes | None = None, output: int = 0
    ) -> None:
        """The node's result is ``value`` itself, in layout ``axes`` (default: as it is read)."""
        axes = self._layout(node, value) if axes is None else axes
        self._is(node.output[output], value, axes)

    def _is(self, tensor: str, value: Value, axes: Axes) -> None:
        """``tensor`` of the file is ``value``, which has the name of the first that is."""
        self.tensors[tensor] = Tensor(value, axes)
        if value.name not in self.tensor_names:
            self.tensor_names[value.name] = tensor
            self.tensor_axes[value.name] = axes

    def define(self, node: NodeProto, const: Const) -> None:
        """The node's result is known at import."""
        self.constants[node.output[0]] = const

    def _new_value(
        self, wish: str, shape: tuple[int, ...], format: Format, tensor: str, axes: Axes | None
    ) -> Value:
        value = Value(self._value_names.unique(wish), shape, format)
        self._all[value.name] = value
        self._axes[value.name] = axes = identity(len(shape)) if axes is None else axes
        if tensor:
            self.tensors[tensor] = Tensor(value, axes)
            self.tensor_names[value.name] = tensor
            self.tensor_axes[value.name] = axes
        return value

    def _label(self, node: NodeProto, op: Op, suffix: str) -> str:
        if op.kind in _LAYERS:
            weight = next((c.source for c in map(self.constants.get, node.input) if c), "")
            count = self._layers[op.kind] = self._layers.get(op.kind, -1) + 1
            return label.layer(node, weight) or f"{_LAYERS[op.kind]}{count}"
        if suffix:
            return f"{self._nodes[-1].name}_{suffix}" if self._nodes else suffix
        return label.step(node, op.kind)

    def so_far(self) -> Graph:
        """What was built until now, without outputs; for handlers that look back."""
        return Graph("", tuple(self._nodes), self._all, (self.input.name,), ())

    def graph(self, name: str) -> Graph:
        """The finished graph; its output is the model's first output."""
        output = self.model.graph.output[0].name
        if output not in self.tensors:
            raise UnsupportedModel(
                f"graph output '{printable(output)}' does not depend on the network input",
                hint="Brevitas' dynamo export of recurrent layers does this",
            )
        end = self.tensors[output].value.name
        return Graph(name, tuple(self._nodes), self._all, (self.input.name,), (end,))


Handler = Callable[[Context, NodeProto], None]
#: By domain ('': the standard one) and operator.
HANDLERS: dict[tuple[str, str], Handler] = {}


def handles(*op_types: str, domain: str = "") -> Callable[[Handler], Handler]:
    """Decorator: the function imports these ONNX operators of the standard domain, or of
    another."""

    def enter(function: Handler) -> Handler:
        for op_type in op_types:
            HANDLERS[domain, op_type] = function
        return function

    return enter


def attributes(ctx: Context, node: NodeProto, **defaults: object) -> dict[str, object]:
    """The node's attributes over ``defaults``; unknown ones are refused."""
    found = dict(defaults)
    for attribute in node.attribute:
        name = attribute.name
        if name not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise ctx.error(
                node,
                f"attribute '{printable(name)}' is not supported",
                f"supported attributes of {node.op_type}: {known}",
            )
        value = helper.get_attribute_value(attribute)
        found[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        default = defaults[name]
        if default is not None and isinstance(default, (int, float, str)):
            _check_type(ctx, node, name, found[name], default)
    return found


def _check_type(ctx: Context, node: NodeProto, name: str, value: object, default: object) -> None:
    wanted = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, wanted):
        kind = type(default).__name__
        raise ctx.error(
            node,
            f"attribute '{name}' is {type(value).__name__}, not {kind}",
            "the file is damaged: export it again",
        )
