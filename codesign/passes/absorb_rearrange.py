"""Absorb permutations into the dense layers beside them, where they cost nothing.

A Flatten of a channels-last value into the file's channels-first order is a permutation of the
whole frame (of each time step), for which hardware would have to hold the frame. A dense layer
behind it reads the same numbers through permuted weight columns; one before it writes them through
permuted rows.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from codesign.formats import Real, ScaledInt
from codesign.ir import Elementwise, Graph, Node, Op, Value
from codesign.ops.dense import Dense
from codesign.ops.quantizer import Quantizer
from codesign.ops.rearrange import Rearrange
from codesign.ops.reinterpret import Reinterpret
from codesign.ops.reshape import Reshape
from codesign.passes.base import Pass


class AbsorbRearrange(Pass):
    """For permutations between integer codes and a dense layer, with element-wise steps and
    quantizers that treat all elements alike in between.

    Values on the way hold permuted frames afterwards, so they get new names: under their old
    names they are compared with the model's tensors. A permutation of float32 that no integer
    precedes stays: it is done on the host.
    """

    name = "absorb-rearrange"

    def call(self, graph: Graph) -> Graph:
        for node in graph.nodes:
            if not isinstance(node.op, Rearrange) or not _permutes(graph, node, node.op):
                continue
            changed = _into_columns(graph, node, node.op) or _into_rows(graph, node, node.op)
            if changed is not None:
                graph = changed
        return graph


def _permutes(graph: Graph, node: Node, op: Rearrange) -> bool:
    """Whether ``op`` moves every element once, none of them for another scale."""
    (x,) = graph.ins(node)
    index = op.index.ravel()
    if len(index) != x.elements or (np.bincount(np.maximum(index, 0)) != 1).any() or op.fills:
        return False
    return not isinstance(x.format, ScaledInt) or len(x.format.scale) == 1


def _into_columns(graph: Graph, node: Node, op: Rearrange) -> Graph | None:
    """Rearrange -> steps -> Dense becomes Reshape -> steps -> Dense with permuted columns."""
    if isinstance(graph.values[node.inputs[0]].format, Real) and not _after_codes(graph, node):
        return None
    path = [node]
    while not isinstance(path[-1].op, Dense):
        following = graph.consumers(path[-1].output)
        if len(following) != 1 or path[-1].output in graph.outputs:
            return None
        (step,) = following
        if not (isinstance(step.op, Dense) or _view(step.op) or _uniform(step.op)):
            return None
        path.append(step)
    dense = path[-1].op
    assert isinstance(dense, Dense)
    order = _each_vector(op, dense.weights.shape[1])
    if order is None:  # it reads parts of what is permuted
        return None
    weights = dense.weights[:, np.argsort(order)]
    swap: dict[str, Op] = {
        node.name: Reshape(op.shape),
        path[-1].name: replace(dense, weights=weights),
    }
    return _rebuilt(graph, path, swap)


def _each_vector(op: Rearrange, size: int) -> np.ndarray | None:
    """The permutation int64 [size] that ``op`` makes of each vector (time step) of a frame."""
    if op.index.size % size:
        return None
    vectors = op.index.reshape(-1, size)
    start = np.arange(len(vectors))[:, None] * size
    same = (vectors - start == vectors[0]).all()
    return np.asarray(vectors[0]) if same else None


def _into_rows(graph: Graph, node: Node, op: Rearrange) -> Graph | None:
    """Dense -> steps -> Rearrange becomes Dense with permuted rows -> steps -> Reshape."""
    path: list[Node] = [node]
    while not isinstance(path[0].op, Dense):
        source = graph.producer(path[0].inputs[0])
        if source is None or len(graph.consumers(source.output)) != 1:
            return None
        if source.output in graph.outputs:
            return None
        flat = len(graph.out(source).shape) == 1 and isinstance(source.op, _STEPS)
        if not (flat or isinstance(source.op, Dense) or _view(source.op) or _uniform(source.op)):
            return None
        path.insert(0, source)
    dense = path[0].op
    assert isinstance(dense, Dense)
    if graph.out(path[0]).elements != len(dense.weights):
        return None
    order = op.index.ravel()
    swap = {n.name: _permuted(n.op, order) for n in path[:-1] if not isinstance(n.op, Reshape)}
    return _rebuilt(graph, path, {**swap, node.name: Reshape(op.shape)})


_STEPS = (Elementwise, Quantizer)


def _after_codes(graph: Graph, node: Node) -> bool:
    """Whether some integer value lies before ``node``."""
    names = list(node.inputs)
    for name in names:  # grows while we walk it
        if not isinstance(graph.values[name].format, Real):
            return True
        source = graph.producer(name)
        names += source.inputs if source is not None else ()
    return False


def _arrays(op: Op) -> dict[str, np.ndarray]:
    found: dict[str, Any] = {f.name: getattr(op, f.name) for f in fields(op)}  # type: ignore[arg-type]
    return {name: a for name, a in found.items() if isinstance(a, np.ndarray)}


def _view(op: Op) -> bool:
    """Whether ``op`` only reads the frame differently, every element alike."""
    several = isinstance(op, Reinterpret) and len(op.scale) > 1
    return isinstance(op, Reshape) and not several


def _uniform(op: Op) -> bool:
    """Whether ``op`` does the same to every element."""
    return isinstance(op, _STEPS) and all(a.size == 1 for a in _arrays(op).values())


def _permuted(op: Op, order: np.ndarray) -> Op:
    """``op`` on a flat value whose element ``p`` is now the old ``order[p]``."""
    rows = {n: a[order] for n, a in _arrays(op).items() if len(a) == len(order) > 1}
    return replace(op, **rows) if rows else op  # type: ignore[type-var]


def _rebuilt(graph: Graph, path: list[Node], swap: dict[str, Op]) -> Graph:
    """``graph`` with the operations of ``path`` swapped and every value between them renamed.
    The last node's output keeps its name (and, unless it is a Dense, its meaning)."""
    values, new = dict(graph.values), dict[str, Node]()
    rename: dict[str, str] = {}
    for node in path:
        op = swap.get(node.name, node.op)
        inputs = tuple(rename.get(name, name) for name in node.inputs)
        shape, format = op.infer(*(values[name] for name in inputs))
        out = node.output
        if node is not path[-1]:
            rename[out] = out = _fresh(f"{out}_permuted", values)
        values[out] = Value(out, shape, format)
        new[node.name] = Node(node.name, op, inputs, (out,))
    nodes = [new.get(n.name, n) for n in graph.nodes]
    return graph.with_nodes(nodes, values.values())


def _fresh(wish: str, taken: dict[str, Value]) -> str:
    name, count = wish, 1
    while name in taken:
        count += 1
        name = f"{wish}_{count}"
    return name
