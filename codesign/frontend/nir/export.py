"""Exchange models as NIR graphs, with a warning for all that NIR cannot say."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper

from codesign.errors import UnsupportedModel
from codesign.exchange import is_neuron, read_metadata, read_node, states_of, to_step
from codesign.exchange.decoded import without_decoder
from codesign.exchange.encoded import split
from codesign.exchange.step import constants_of, shape_of
from codesign.frontend.names import printable
from codesign.frontend.nir.continuous import node_of, warnings_of
from codesign.frontend.nir.windows import convolution
from codesign.frontend.spiking.layers import window_size
from codesign.neurons import Lif, Neuron


@dataclass(frozen=True)
class Exported:
    """``graph``: a ``nir.NIRGraph``, to be written with ``nir.write``. ``warnings``: what of the
    model it does not say, in sentences."""

    graph: Any
    warnings: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """The .nir file."""
        import nir

        file = io.BytesIO()
        nir.write(file, self.graph)
        return file.getvalue()


def export_nir(model: ModelProto) -> Exported:
    """An exchange ``model``, in one-step or Scan form, as a NIR graph whose Euler steps of the
    model's dt (``discretisation = "euler"``, ``integrators = "per_second"``) it is.

    Raises :class:`UnsupportedModel` naming an operator or a neuron that NIR has no primitive for.
    """
    model, decoder = without_decoder(model)
    model, front = split(model)
    if any(node.op_type == "Scan" for node in model.graph.node):
        model = to_step(model)
    coders = [front.nodes[-1]] if front is not None else []
    coders += [decoder] if decoder is not None else []
    left_out = [f"NIR has no {n.op_type}: '{printable(n.name)}' is left out" for n in coders]
    return _Exporter(model, left_out).run()


class _Exporter:
    def __init__(self, model: ModelProto, warnings: list[str]) -> None:
        self._graph, self._time = model.graph, read_metadata(model)
        self._constants = {k: np.asarray(v) for k, v in constants_of(model.graph).items()}
        self._nodes: dict[str, Any] = {}
        self._edges: list[tuple[str, str]] = []
        #: tensor -> NIR nodes whose values it is the sum of
        self._from: dict[str, tuple[str, ...]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._warnings = warnings
        self._late: dict[str, str] = {}

    def run(self) -> Exported:
        import nir

        states = {s.name: s.after for s in states_of(self._graph)}
        own = {p for n in self._graph.node if is_neuron(n) for p in n.input}
        self._late = {n: after for n, after in states.items() if n not in own}
        (given,) = [i for i in self._graph.input if i.name not in states]
        shape = shape_of(given)[1:]
        self._nodes["input"] = nir.Input(np.array(shape))
        self._put(given.name, ("input",), shape)
        for name in self._late:
            info = next(i for i in self._graph.input if i.name == name)
            self._put(name, (f"late:{name}",), shape_of(info)[1:])
        for node in self._graph.node:
            self._convert(node)
        self._resolve_delays()
        after = {s.after for s in states_of(self._graph)}
        (result,) = [o for o in self._graph.output if o.name not in after]
        self._nodes["output"] = nir.Output(np.array(self._shapes[result.name]))
        self._link(result.name, "output")
        self._warnings.append(
            f"NIR has no time steps: dt {self._time.dt:.9g} s, {self._time.steps} steps a window, "
            f"encoding {self._time.encoding}, readout {self._time.readout}, "
            f"{'a' if self._time.reset_at_window else 'no'} reset at each window"
        )
        graph = nir.NIRGraph(self._nodes, self._edges, type_check=False)
        return Exported(graph, tuple(self._warnings))

    def _put(self, tensor: str, sources: tuple[str, ...], shape: tuple[int, ...]) -> None:
        self._from[tensor], self._shapes[tensor] = sources, shape

    def _link(self, tensor: str, name: str) -> None:
        self._edges += [(source, name) for source in self._from[tensor]]

    def _enter(self, node: NodeProto, made: Any, shape: tuple[int, ...], name: str = "") -> None:
        name = name or _name(node.output[0])
        while name in self._nodes:
            name += "_"
        self._nodes[name] = made
        self._link(node.input[0], name)
        self._put(node.output[0], (name,), shape)

    def _convert(self, node: NodeProto) -> None:
        if is_neuron(node):
            self._neuron(node)
            return
        handler = getattr(self, f"_on_{node.op_type.lower()}", None)
        if handler is None:
            hint = "NIR has weights, convolutions, sums and averages, Flatten, neurons and delays"
            where = f"node '{printable(node.name)}' ({printable(node.op_type)})"
            raise UnsupportedModel("NIR has no primitive for it", where=where, hint=hint)
        handler(node, {a.name: helper.get_attribute_value(a) for a in node.attribute})

    # --- operators

    def _on_quant(self, node: NodeProto, at: dict[str, Any]) -> None:
        name = node.input[0]
        numbers = [self._constant(node, i) for i in (1, 2, 3)]
        scale, bits = _listed(numbers[0]), _listed(numbers[2])
        if name in self._constants:
            # Trained files keep float weights before their quantizer: the network has its codes.
            codes = quantized(self._constant(node, 0), numbers[0], numbers[1], numbers[2], at)
            self._hold(node, codes)
            if name.replace("/", ".").rpartition(".")[2] in ("weight", "bias"):
                self._warnings.append(
                    f"'{_name(name)}': NIR does not say that it has {bits} bits in steps of {scale}"
                )
            return
        kind = "signed" if at["signed"] else "unsigned"
        self._warnings.append(
            f"NIR does not say that '{_name(name)}' has {bits} {kind} bits in steps of {scale}"
        )
        self._put(node.output[0], self._from[name], self._shapes[name])

    def _on_transpose(self, node: NodeProto, at: dict[str, Any]) -> None:
        """Of weights, as Brevitas' Linear has it."""
        if node.input[0] not in self._constants:
            raise self._refuse(node, "the axes of a computed value are swapped")
        self._hold(node, np.transpose(self._constant(node, 0), at.get("perm")))

    def _hold(self, node: NodeProto, constant: np.ndarray) -> None:
        self._constants[node.output[0]] = constant
        self._shapes[node.output[0]] = constant.shape

    def _on_matmul(self, node: NodeProto, at: dict[str, Any]) -> None:
        import nir

        weight = self._constant(node, 1).T.astype(np.float64)
        self._enter(node, nir.Linear(weight), weight.shape[:1])

    def _on_conv(self, node: NodeProto, at: dict[str, Any]) -> None:
        weight = self._constant(node, 1).astype(np.float64)
        shape = self._shapes[node.input[0]]
        axes = weight.ndim - 2
        before, after = at["pads"][:axes], at["pads"][axes:]
        sizes = zip(
            shape[1:], weight.shape[2:], at["strides"], before, after, at["dilations"], strict=True
        )
        out = (len(weight), *(window_size(*n) for n in sizes))
        made = convolution(weight, at, shape)
        if made is None:
            raise self._refuse(node, "padding that differs from side to side")
        if len(node.input) > 2 and node.input[2]:
            if not hasattr(made, "bias"):
                raise self._refuse(node, "a pool or factor with a bias")
            made.bias = self._constant(node, 2).astype(np.float64).reshape(-1)
        self._enter(node, made, out)

    def _on_add(self, node: NodeProto, at: dict[str, Any]) -> None:
        """A bias goes to the weights before it; values that are added share their targets."""
        left, right = node.input
        if right not in self._constants:
            both = (*self._from[left], *self._from[right])
            self._put(node.output[0], both, self._shapes[left])
            return
        if not self._biased(left, self._constant(node, 1).astype(np.float64).reshape(-1)):
            raise self._refuse(node, "a constant added to what is no sum of weights")
        self._put(node.output[0], self._from[left], self._shapes[left])

    def _biased(self, tensor: str, bias: np.ndarray) -> bool:
        """Add ``bias``, one value or one for each channel, to the weights that make ``tensor``;
        False where something else does, or something else reads their sums too."""
        import nir

        source, *more = self._from[tensor]
        made = self._nodes.get(source)
        if more or not isinstance(made, nir.Linear | nir.Affine | nir.Conv1d | nir.Conv2d):
            return False
        same = {name for name, sources in self._from.items() if sources == (source,)}
        readers = [n for n in self._graph.node if same & {*n.input} and not same & {*n.output}]
        if len(readers) > 1 or same & {o.name for o in self._graph.output}:
            return False
        bias = np.broadcast_to(bias, made.weight.shape[:1]).copy()
        if isinstance(made, nir.Linear):
            self._nodes[source] = nir.Affine(made.weight, bias)
        else:
            made.bias = bias if made.bias is None else made.bias + bias
        return True

    def _on_reshape(self, node: NodeProto, at: dict[str, Any]) -> None:
        import nir

        before = self._shapes[node.input[0]]
        after = tuple(int(n) for n in self._constant(node, 1)[1:])
        if after in ((*before, 1), before[:-1]) and 1 in (after[-1], before[-1]):
            self._put(node.output[0], self._from[node.input[0]], after)
            return
        for first in range(len(before)):
            for last in range(first, len(before)):
                middle = int(np.prod(before[first : last + 1]))
                if after == (*before[:first], middle, *before[last + 1 :]):
                    made = nir.Flatten({"input": np.array(before)}, first, last)
                    self._enter(node, made, after)
                    return
        raise self._refuse(node, f"a reshape from {before} to {after}")

    def _on_flatten(self, node: NodeProto, at: dict[str, Any]) -> None:
        import nir

        shape = self._shapes[node.input[0]]
        if at.get("axis", 1) != 1:
            raise self._refuse(node, f"axis {at['axis']}, which would join the batch or split axes")
        made = nir.Flatten({"input": np.array(shape)}, 0, len(shape) - 1)
        self._enter(node, made, (int(np.prod(shape)),))

    def _on_identity(self, node: NodeProto, at: dict[str, Any]) -> None:
        self._put(node.output[0], self._from[node.input[0]], self._shapes[node.input[0]])

    # --- neurons and delays

    def _neuron(self, node: NodeProto) -> None:
        read = read_node(node, self._constants)
        shape, where = (
            self._shapes[node.input[0]],
            f"node '{printable(node.name)}' ({node.op_type})",
        )
        made = node_of(self._unbiased(read.neuron, node.input[0]), self._time.dt, shape, where)
        self._warnings += warnings_of(read.neuron, _name(node.output[0]))
        self._enter(node, made, shape)
        for state, port in zip(read.neuron.states, read.ports.next_states, strict=True):
            self._shapes[port] = shape
            if state.initial.any():
                self._warnings.append(
                    f"'{printable(node.name)}': NIR has no initial '{state.name}'"
                )

    def _unbiased(self, model: Neuron, current: str) -> Neuron:
        """NIR's integrators have no bias: it moves into weights that they alone read."""
        if not isinstance(model, Lif) or model.synapse is not None or model.leak.kind != "none":
            return model
        if not model.bias.any() or not self._biased(current, model.bias * 2.0**-model.word.frac):
            return model
        return replace(model, bias=np.zeros_like(model.bias))

    def _resolve_delays(self) -> None:
        """A state that only passes spikes on: a loop's own delay, or a chain of a Delay."""
        import nir

        for name in self._late:
            source, steps = self._origin(name)
            readers = [b for a, b in self._edges if a == f"late:{name}"]
            if not readers:
                continue
            if steps == 1 and self._loops(source, set(readers)):
                self._edges += [(source, b) for b in readers]
                self._warnings.append(
                    f"'{source}': its spikes come back one step later, which NIR does not say"
                )
            else:
                delay = f"{source}_delay{steps}"
                shape = self._shapes[name]
                if delay not in self._nodes:
                    self._nodes[delay] = nir.Delay(np.full(shape, steps * self._time.dt))
                    self._edges.append((source, delay))
                self._edges += [(delay, b) for b in readers]
        self._edges = [e for e in self._edges if not e[0].startswith("late:")]

    def _origin(self, name: str) -> tuple[str, int]:
        """Which node a state's value comes from, and how many steps later."""
        steps = 0
        while name in self._late:
            sources = self._from[self._late[name]]
            if len(sources) != 1:
                where = f"state '{printable(name)}'"
                hint = "delay each of them"
                raise UnsupportedModel("a delay of a sum", where=where, hint=hint)
            steps += 1
            if not sources[0].startswith("late:"):
                return sources[0], steps
            name = sources[0].removeprefix("late:")
        raise AssertionError("a state comes from a node")

    def _loops(self, source: str, readers: set[str]) -> bool:
        """Whether ``readers`` lead back to ``source``."""
        seen, todo = set(), list(readers)
        while todo:
            at = todo.pop()
            if at == source:
                return True
            if at not in seen:
                seen.add(at)
                todo += [b for a, b in self._edges if a == at]
        return False

    def _constant(self, node: NodeProto, index: int) -> np.ndarray:
        if node.input[index] not in self._constants:
            raise self._refuse(node, "a product of two computed values")
        return self._constants[node.input[index]]

    def _refuse(self, node: NodeProto, what: str) -> UnsupportedModel:
        where = f"node '{printable(node.name)}' ({node.op_type})"
        return UnsupportedModel(what, where=where, hint="NIR has no primitive for it")


def quantized(
    x: np.ndarray, scale: np.ndarray, zero: np.ndarray, bits: np.ndarray, at: dict[str, Any]
) -> np.ndarray:
    """float32: a constant as a Quant node with the attributes ``at`` has it, computed by qonnx."""
    from qonnx.custom_op.general.quant import quant

    mode = at["rounding_mode"]
    mode = mode.decode() if isinstance(mode, bytes) else mode
    return np.asarray(quant(x, scale, zero, bits, at["signed"], at["narrow"], mode), np.float32)


def _listed(values: np.ndarray) -> str:
    """One number, or the least and the greatest."""
    low, high = float(values.min()), float(values.max())
    return f"{low:.9g}" if low == high else f"{low:.9g} to {high:.9g}"


def _name(tensor: str) -> str:
    """A node's name from that of its result."""
    for end in (".out", ".biased", ".codes"):
        tensor = tensor.removesuffix(end)
    return printable(tensor)
