"""Recurrent networks with the steps first: rewritten with the batch first.

A Scan wants its steps along axis 0 unless told otherwise, so exporters write (steps, batch,
features) between two Transposes, or leave the batch out. Everything after this rewrite has the
batch as its first axis: Transposes that move it are carried forward until they cancel or a Scan,
which can scan any axis, takes them up. Where that does not succeed the Transpose stays, and its
handler refuses it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from codesign.frontend.add_batch import ALONG, add_batch
from codesign.frontend.scan.body import body_of

Perm = tuple[int, ...]


def batch_first(model: ModelProto) -> None:
    """Rewrite ``model``, cleaned, in place; nothing happens without a Scan."""
    graph = model.graph
    if all(body_of(node) is None for node in graph.node):
        return
    port = graph.input[0]
    rank, start = len(port.type.tensor_type.shape.dim), None
    if _scanned_first(graph):
        dims = [d.dim_value for d in port.type.tensor_type.shape.dim]
        if rank > 2 and dims[1] == 1:  # (steps, 1, features): the one is a batch
            start = (1, 0, *range(2, rank))
            dims[:2] = [1, dims[0]]
        else:
            add_batch(model)
            dims.insert(0, 1)
        new = helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, dims)
        del graph.input[:]
        graph.input.append(new)
    _Carry(model, start).run()


def _scanned_first(graph: GraphProto) -> bool:
    """Whether a Scan steps along the first axis of the network input."""
    same = {graph.input[0].name}
    for node in graph.node:
        if body_of(node) is not None:
            attrs = {a.name: list(a.ints) for a in node.attribute}
            scans = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
            names = node.input[len(node.input) - scans :]
            axes = attrs.get("scan_input_axes") or [0] * scans
            if any(n in same and axis == 0 for n, axis in zip(names, axes, strict=False)):
                return True
        elif node.op_type in ALONG and node.input and node.input[0] in same:
            same.update(node.output)
    return False


@dataclass
class _Carry:
    """One walk over the nodes. ``pending``: tensor -> (tensor, perm) whose Transpose it is."""

    model: ModelProto
    start: Perm | None
    pending: dict[str, tuple[str, Perm]] = field(default_factory=dict)
    done: list[NodeProto] = field(default_factory=list)
    made: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Rewrite every node."""
        graph = self.model.graph
        output = graph.output[0].name
        if self.start is not None:
            self.pending[graph.input[0].name] = graph.input[0].name, self.start
        self.constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        for node in graph.node:
            rule = self._rule(node)
            if rule is None or not rule(node):
                for name in dict.fromkeys(node.input):
                    self._settle(name)
                self.done.append(node)
        if output in self.pending and self.start is not None:
            # There never was a batch: the first axis of the result is ours.
            self.done.append(helper.make_node("Identity", [self.pending[output][0]], [output]))
        else:
            self._settle(output)
        copies = [NodeProto.FromString(n.SerializeToString()) for n in self.done]
        del graph.node[:]
        graph.node.extend(copies)

    def _rule(self, node: NodeProto) -> Callable[[NodeProto], bool] | None:
        if node.op_type == "Transpose":
            return self._transpose
        if body_of(node) is not None:
            return self._scan
        if not node.input or node.input[0] not in self.pending:
            return None
        if node.op_type in ("Gather", "Squeeze"):
            return self._dropped
        return self._along if node.op_type in ALONG | {"Slice"} else None

    def _settle(self, name: str) -> None:
        """Write the Transpose after all: somebody reads ``name`` as it is."""
        if name in self.pending and name not in self.made:
            source, perm = self.pending[name]
            if source != name:
                self.done.append(helper.make_node("Transpose", [source], [name], name, perm=perm))
            self.made.add(name)

    def _put(self, node: NodeProto, source: str, perm: Perm, output: str) -> None:
        """``node`` computes ``output`` from ``source``, which is to be transposed yet."""
        made = NodeProto()
        made.CopyFrom(node)
        made.input[0] = source
        straight = perm == tuple(range(len(perm)))
        made.output[0] = output if straight else f"{output}/batch_first"
        if not straight:
            self.pending[output] = made.output[0], perm
        self.done.append(made)

    def _transpose(self, node: NodeProto) -> bool:
        source = node.input[0]
        perm = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), None)
        if perm is None or sorted(perm) != list(range(len(perm))):
            return False
        if source in self.pending:
            inner, before = self.pending[source]
            if len(before) != len(perm):
                return False
            perm, source = tuple(before[p] for p in perm), inner
        if perm == tuple(range(len(perm))):
            self.done.append(helper.make_node("Identity", [source], [node.output[0]], node.name))
        elif perm[0] != 0:
            self.pending[node.output[0]] = source, perm
        else:
            made = helper.make_node("Transpose", [source], [node.output[0]], node.name, perm=perm)
            self.done.append(made)
        return True

    def _along(self, node: NodeProto) -> bool:
        """Element by element, with constants that broadcast over trailing axes which stay."""
        source, perm = self.pending[node.input[0]]
        if node.op_type == "Slice":
            return self._slice(node, source, perm)
        moved = max(axis for axis, p in enumerate(perm) if axis != p)
        stays = len(perm) - 1 - moved  # trailing axes that are where they were
        for name in filter(None, node.input[1:]):
            array = self.constants.get(name)
            if array is None or array.size > 1 and array.ndim > stays:
                return False
        self._put(node, source, perm, node.output[0])
        return True

    def _axes(self, node: NodeProto, perm: Perm) -> list[int] | None:
        """The axes a Slice or Squeeze names, of the tensor before its Transpose."""
        index = 3 if node.op_type == "Slice" else 1
        given = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
        if given is None and len(node.input) > index:
            array = self.constants.get(node.input[index])
            given = None if array is None else [int(a) for a in array.ravel()]
        if given is None or any(not -len(perm) <= a < len(perm) for a in given):
            return None
        return [perm[a] for a in given]

    def _named(self, node: NodeProto, axes: list[int]) -> NodeProto:
        """A copy of ``node`` with other axes."""
        made, index = NodeProto(), 3 if node.op_type == "Slice" else 1
        made.CopyFrom(node)
        for attribute in made.attribute:
            if attribute.name == "axes":
                attribute.ints[:] = axes
                return made
        name = f"{node.output[0]}/axes"
        array = np.array(axes, dtype=np.int64)
        self.model.graph.initializer.append(numpy_helper.from_array(array, name))
        made.input[index] = name
        return made

    def _slice(self, node: NodeProto, source: str, perm: Perm) -> bool:
        axes = self._axes(node, perm)
        if axes is None:
            return False
        self._put(self._named(node, axes), source, perm, node.output[0])
        return True

    def _dropped(self, node: NodeProto) -> bool:
        """One step by its number, or an axis of size one, leaves."""
        source, perm = self.pending[node.input[0]]
        if node.op_type == "Gather":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            number = self.constants.get(node.input[1])
            if number is None or number.ndim or not -len(perm) <= axis < len(perm):
                return False
            gone = [perm[axis]]
            made = NodeProto()
            made.CopyFrom(node)
            del made.attribute[:]
            made.attribute.append(helper.make_attribute("axis", gone[0]))
        else:
            axes = self._axes(node, perm)
            if axes is None:
                return False
            gone, made = axes, self._named(node, axes)
        kept = [p for p in perm if p not in gone]
        self._put(made, source, tuple(sorted(kept).index(p) for p in kept), node.output[0])
        return True

    def _scan(self, node: NodeProto) -> bool:
        """Scanned axes are those before the Transpose; outputs get the batch first as well."""
        lists = {a.name: list(a.ints) for a in node.attribute}
        scans = next(a.i for a in node.attribute if a.name == "num_scan_inputs")
        states = len(node.input) - scans
        axes = lists.get("scan_input_axes") or [0] * scans
        made, rank = NodeProto(), 0
        made.CopyFrom(node)
        for i, name in enumerate(node.input[states:]):
            if name not in self.pending:
                continue
            source, perm = self.pending[name]
            axis = axes[i] + len(perm) if axes[i] < 0 else axes[i]
            rest = [p for k, p in enumerate(perm) if k != axis]
            if rest != sorted(rest):
                return False
            made.input[states + i], axes[i], rank = source, perm[axis], len(perm)
        if not rank:
            return False
        outs = lists.get("scan_output_axes") or [0] * (len(node.output) - states)
        for i, name in enumerate(node.output[states:]):
            if outs[i] == 0 and name:
                outs[i], made.output[states + i] = 1, f"{name}/batch_first"
                self.pending[name] = made.output[states + i], (1, 0, *range(2, rank))
        _set(made, "scan_input_axes", axes)
        _set(made, "scan_output_axes", outs)
        self.done.append(made)
        return True


def _set(node: NodeProto, name: str, values: list[int]) -> None:
    kept = [a for a in node.attribute if a.name != name]
    copies = [type(a).FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend([*copies, helper.make_attribute(name, values)])
