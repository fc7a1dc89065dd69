"""The one-step form: a graph of one time step, states explicit.

A graph input ``X`` is a state if there is a graph output ``X_next``: what that puts out is what
the next step receives at ``X``. All other inputs and outputs are those of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from onnx import numpy_helper as arrays

from codesign.errors import UnsupportedModel
from codesign.exchange.domain import DOMAIN, VERSION, check_version, graphs, is_neuron, printable
from codesign.exchange.metadata import Metadata, write_metadata
from codesign.exchange.node import Read, neuron_node, read_node
from codesign.exchange.wire import to_wire
from codesign.neurons import Neuron

#: Of the standard operators; and the newest file version every onnxruntime we accept reads.
OPSET, IR_VERSION = 17, 10
NEXT = "_next"
QONNX = "qonnx.custom_op.general"


@dataclass(frozen=True)
class StateAt:
    """A state of a one-step graph: its tensors before and after, and its float32 ``initial``
    value [batch, ...]."""

    name: str
    after: str
    initial: np.ndarray


class StepBuilder:
    """Builds a one-step model, operator by operator. Every shape counts the batch, which comes
    first."""

    def __init__(self, name: str, input_shape: Sequence[int], *, input: str = "x") -> None:
        self._name, self.input = name, input
        self._inputs = [port(input, input_shape)]
        self._states: list[ValueInfoProto] = []
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def another_input(self, name: str, shape: Sequence[int]) -> str:
        """One more input of the step."""
        self._inputs.append(port(name, shape))
        return name

    def constant(self, name: str, array: object) -> str:
        """An initializer: int64 if ``array`` holds integers, else float32."""
        values = np.asarray(array)
        values = values.astype(np.int64 if values.dtype.kind in "iu" else np.float32)
        self._constants.append(arrays.from_array(values, name))
        return name

    def node(
        self, op_type: str, inputs: Sequence[str], out: str, domain: str = "", **attributes: object
    ) -> str:
        """Any operator with one result; returns its name ``out``."""
        made = helper.make_node(op_type, list(inputs), [out], out, domain=domain)
        made.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
        self._nodes.append(made)
        return out

    def state(self, name: str, shape: Sequence[int]) -> str:
        """A state of the graph's own, zero at first: the step must write ``NAME_next``. This is
        how a loop is closed (recurrent weights, delays)."""
        self._inputs.append(port(name, shape))
        self._states.append(port(name + NEXT, shape))
        return name

    def neuron(
        self,
        model: Neuron,
        name: str,
        inputs: str | Sequence[str],
        shape: Sequence[int],
        *,
        trailing: int = 0,
    ) -> str:
        """A layer of neurons of ``shape``, with its states; returns what it puts out, ``NAME``.
        ``trailing``: see :func:`codesign.exchange.neuron_node`."""
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        made = neuron_node(model, name=name, inputs=names, out=name, trailing=trailing)
        for state in model.states:
            self.state(f"{name}.{state.name}", shape)
        self._nodes.append(made.node)
        self._constants += made.initializers
        return name

    def model(self, out: str, shape: Sequence[int], metadata: Metadata) -> ModelProto:
        """The one-step model, with result ``out``."""
        outputs = [port(out, shape), *self._states]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, outputs, self._constants)
        opsets = [
            helper.make_opsetid("", OPSET),
            helper.make_opsetid(DOMAIN, VERSION),
            helper.make_opsetid(QONNX, 1),
        ]
        made = helper.make_model(
            graph, producer_name="codesign", opset_imports=opsets, ir_version=IR_VERSION
        )
        write_metadata(made, metadata)
        states_of(made.graph)
        return made


def port(name: str, shape: Sequence[int]) -> ValueInfoProto:
    """A float32 tensor at the border of a graph."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def shape_of(info: ValueInfoProto) -> tuple[int, ...]:
    """The shape of a tensor at the border; an error where a size is not fixed."""
    dims = info.type.tensor_type.shape.dim
    if not info.type.tensor_type.HasField("shape") or any(
        not d.HasField("dim_value") for d in dims
    ):
        raise UnsupportedModel(
            "its shape is not fixed",
            where=f"tensor '{printable(info.name)}'",
            hint="export with fixed sizes, the batch included",
        )
    return tuple(d.dim_value for d in dims)


def constants_of(graph: GraphProto) -> dict[str, np.ndarray]:
    """Initializers and Constant nodes of ``graph`` that hold tensors, by name."""
    found = {t.name: arrays.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.domain == "":
            for tensor in (a.t for a in node.attribute if a.name == "value"):
                found[node.output[0]] = arrays.to_array(tensor)
    return found


def neurons_of(model: ModelProto) -> dict[str, Read]:
    """Every neuron of ``model``, also inside a Scan, read; by the name of its result there."""
    check_version(model)
    found: dict[str, Read] = {}
    constants: dict[str, np.ndarray] = {}
    for graph in graphs(model.graph):
        constants |= constants_of(graph)
        found |= {n.output[0]: read_node(n, constants) for n in graph.node if is_neuron(n)}
    return found


def states_of(graph: GraphProto) -> list[StateAt]:
    """The states of a one-step graph, in the order of its inputs.

    Raises :class:`UnsupportedModel` where a neuron's state is not one of the graph, or where the
    shapes before and after differ.
    """
    outputs = {o.name: o for o in graph.output}
    pairs = {i.name: i for i in graph.input if i.name + NEXT in outputs}
    initial = _initial_of_neurons(graph, set(pairs))
    found = []
    for name, before in pairs.items():
        shape = shape_of(before)
        if shape_of(outputs[name + NEXT]) != shape:
            raise UnsupportedModel(
                f"it has shape {shape} before the step and {shape_of(outputs[name + NEXT])} after",
                where=f"state '{printable(name)}'",
                hint="a state keeps its shape",
            )
        first = initial.get(name, np.zeros(1, np.float32))
        try:
            whole = np.broadcast_to(first, shape)
        except ValueError:
            raise UnsupportedModel(
                f"it has shape {shape}, its neuron's parameters {first.shape}",
                where=f"state '{printable(name)}'",
                hint="parameters broadcast along the channels of the neuron's tensors",
            ) from None
        found.append(StateAt(name, name + NEXT, np.ascontiguousarray(whole)))
    return found


def _initial_of_neurons(graph: GraphProto, states: set[str]) -> dict[str, np.ndarray]:
    """Name of a neuron's state in ``graph`` -> its first value, to be broadcast."""
    constants, found = constants_of(graph), {}
    for node in graph.node:
        if not is_neuron(node):
            continue
        read = read_node(node, constants)
        for state, before, after in zip(
            read.neuron.states, read.ports.states, read.ports.next_states, strict=True
        ):
            if before not in states or after != before + NEXT:
                raise UnsupportedModel(
                    f"its state '{printable(before)}' is written to '{printable(after)}'",
                    where=f"node '{printable(node.name)}' ({node.op_type})",
                    hint=f"in the one-step form a state is graph input X and output X{NEXT}",
                )
            if before in found:
                raise UnsupportedModel(
                    f"state '{printable(before)}' belongs to two nodes",
                    where=f"node '{printable(node.name)}' ({node.op_type})",
                    hint="give every layer states of its own",
                )
            found[before] = broadcastable(read, to_wire(state.initial, state.word.frac))
    return found


def broadcastable(read: Read, vector: np.ndarray) -> np.ndarray:
    """A parameter [1] or [channels] shaped to broadcast against the tensors of its node."""
    return (
        vector
        if read.axis is None or len(vector) == 1
        else vector.reshape(-1, *[1] * (-1 - read.axis))
    )
