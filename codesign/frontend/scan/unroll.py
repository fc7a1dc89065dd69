"""Scans unrolled, for executors that cannot run quantizers of qonnx inside a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from codesign.errors import ToolError
from codesign.frontend.names import printable
from codesign.frontend.scan.body import body_of, scan_attributes

Shapes = Mapping[str, tuple[int, ...]]


@dataclass
class Unrolled:
    """What became of the bodies' tensors. ``steps``: the names of all steps of each; ``shapes``:
    of each step, without batch."""

    steps: dict[str, list[str]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def unroll(model: ModelProto, shapes: Shapes, batch: int) -> Unrolled:
    """Replace every Scan of a cleaned ``model`` by its steps, in place.

    ``shapes``: of all computed tensors without batch, those of bodies with the steps first.
    ``batch``: frames, to which the initial states are repeated.
    """
    graph, done = model.graph, Unrolled()
    nodes: list[NodeProto] = []
    for node in graph.node:
        body = body_of(node)
        nodes += [node] if body is None else _Scan(graph, node, body, shapes, batch, done).nodes()
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return done


class _Scan:
    """One Scan node on its way to being plain nodes."""

    def __init__(
        self,
        graph: GraphProto,
        node: NodeProto,
        body: GraphProto,
        shapes: Shapes,
        batch: int,
        done: Unrolled,
    ) -> None:
        self._graph, self._node, self._body, self._shapes = graph, node, body, shapes
        self._batch, self._done = batch, done
        self._attrs = scan_attributes(node)
        self._states = len(node.input) - int(str(self._attrs["num_scan_inputs"]))
        self._out: list[NodeProto] = []
        self._constants = {t.name for t in (*graph.initializer, *body.initializer)}

    def nodes(self) -> list[NodeProto]:
        """All steps, one after the other."""
        self._graph.initializer.extend(self._body.initializer)
        steps, count = self._count(), self._states
        states = [self._start(i) for i in range(count)]
        stacks: list[list[str]] = [[] for _ in self._body.output[count:]]
        for step in range(steps):
            names = dict(zip([p.name for p in self._body.input[:count]], states, strict=True))
            for i, port in enumerate(self._body.input[count:]):
                names[port.name] = self._step_of(i, port.name, step, steps)
            for node in self._body.node:
                self._copy(node, names, step)
            ends = [names.get(port.name, port.name) for port in self._body.output]
            states = ends[:count]
            for stack, name in zip(stacks, ends[count:], strict=True):
                stack.append(name)
        for name, source in zip(self._node.output[:count], states, strict=True):
            if name:
                self._add("Identity", [source], name)
        for i, stack in enumerate(stacks):
            if self._node.output[count + i]:
                self._stack(self._node.output[count + i], stack, i)
        return self._out

    def _list(self, name: str, index: int) -> int:
        found = self._attrs.get(name)
        return int(found[index]) if isinstance(found, list) else 0

    def _count(self) -> int:
        sizes = {t.name: tuple(t.dims) for t in self._graph.initializer}
        sizes |= {name: (self._batch, *shape) for name, shape in self._shapes.items()}
        for i, name in enumerate(self._node.input[self._states :]):
            if name in sizes:
                return sizes[name][self._list("scan_input_axes", i)]
        raise ToolError(f"the steps of '{printable(self._node.name)}' are unknown")

    def _add(self, kind: str, inputs: list[str], output: str, **attrs: Any) -> None:
        self._out.append(helper.make_node(kind, inputs, [output], output, **attrs))

    def _integers(self, name: str, values: object) -> str:
        array = np.asarray(values, dtype=np.int64)
        self._graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def _start(self, index: int) -> str:
        """The initial state for every frame."""
        rank = len(self._shapes[self._body.output[index].name]) - 1
        name = f"{self._body.input[index].name}/start"
        shape = self._integers(f"{name}/shape", [self._batch, *[1] * rank])
        self._add("Expand", [self._node.input[index], shape], name)
        return name

    def _step_of(self, index: int, port: str, step: int, steps: int) -> str:
        backward = self._list("scan_input_directions", index)
        name = f"{port}/{step}"
        place = self._integers(f"{name}/index", steps - 1 - step if backward else step)
        source = self._node.input[self._states + index]
        self._add("Gather", [source, place], name, axis=self._list("scan_input_axes", index))
        return name

    def _copy(self, node: NodeProto, names: dict[str, str], step: int) -> None:
        """One step's copy of ``node``; what does not change is computed once."""
        fixed = all(name in self._constants for name in node.input if name)
        if fixed and step:
            return
        made = NodeProto()
        made.CopyFrom(node)
        if fixed:
            self._constants.update(node.output)
        else:
            made.name = f"{node.name}/{step}"
            made.input[:] = [names.get(name, name) for name in node.input]
            made.output[:] = [f"{name}/{step}" if name else "" for name in node.output]
        for name, new in zip(node.output, made.output, strict=True):
            names[name] = new
            if name in self._shapes and not fixed:
                self._done.steps.setdefault(name, []).append(new)
                self._done.shapes[new] = self._shapes[name][1:]
        self._out.append(made)

    def _stack(self, output: str, names: list[str], index: int) -> None:
        axis = self._list("scan_output_axes", index)
        where = self._integers(f"{output}/axis", [axis])
        parts = [f"{output}/{step}" for step in range(len(names))]
        for name, part in zip(names, parts, strict=True):
            self._add("Unsqueeze", [name, where], part)
        if self._list("scan_output_directions", index):
            parts.reverse()
        self._add("Concat", parts, output, axis=axis)
