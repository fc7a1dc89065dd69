"""Fold constants into a shift-add graph where they cost nothing: unused carry-ins.

The carry-in of an addition whose chain starts at bit k adds 2^k to its sum, and through the
nodes above it a known amount to every output that depends on it. Choosing carry-ins such that
the amounts add up to the bias makes the bias free; what cannot be reached takes an adder.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.hdl.adders.graph import (
    AdderGraph,
    Node,
    Output,
    chain_bits,
    form_ranges,
    lut_estimate,
    width,
)

__all__ = ["fold_bias"]

MOVES = 400


def fold_bias(graph: AdderGraph, bias: ArrayLike) -> AdderGraph:
    """`graph` with `bias [N]` added to its outputs, by carry-ins and as few adders as possible."""
    bias = np.asarray(bias)
    if bias.shape != (len(graph.outputs),) or not np.issubdtype(bias.dtype, np.integer):
        raise ValueError(
            f"bias must be {len(graph.outputs)} integers, got {bias.dtype} {bias.shape}"
        )
    if not bias.any():
        return graph
    bias = bias.astype(np.int64)
    plain = _with_constants(graph, [], bias)
    carries = _Carries.of(graph)
    if not carries.nodes:
        return plain
    chosen, rest = _choose(carries, bias)
    return min(plain, _with_constants(graph, chosen, rest), key=lut_estimate)


@dataclass(frozen=True)
class _Carries:
    """`nodes[j]`: an addition whose carry-in is free; `effects[j]` `[N]`: what it adds to each
    output. `private[n]`: those that move output n only."""

    nodes: list[int]
    effects: NDArray[np.int64]
    private: list[list[int]]

    @classmethod
    def of(cls, graph: AdderGraph) -> "_Carries":
        effects = _effects(graph)
        nodes = [i for i in range(len(graph.nodes)) if _is_free(graph, i) and effects[i].any()]
        starts = [max(graph.nodes[i].shift_a, graph.nodes[i].shift_b) for i in nodes]
        scaled = effects[nodes] << np.array(starts, np.int64)[:, None]
        touched = (scaled != 0).sum(axis=1)
        private: list[list[int]] = [[] for _ in graph.outputs]
        for j in np.flatnonzero(touched == 1).tolist():
            private[int(np.flatnonzero(scaled[j])[0])].append(j)
        return cls(nodes, scaled, private)


def _is_free(graph: AdderGraph, index: int) -> bool:
    """An addition on a carry chain that stays as wide with its carry-in set, and exact nodes
    above it."""
    node = graph.nodes[index]
    if node.op != "add" or node.drop or chain_bits(node, graph.nodes) < 5:
        return False
    extra = 1 << max(node.shift_a, node.shift_b)
    return width(node.lo, node.hi) == width(node.lo + extra, node.hi + extra)


def _effects(graph: AdderGraph) -> NDArray[np.int64]:
    """`[nodes, N]`: what one more at each node adds to each output; zero below a node that
    drops low bits (a carry there is not allowed)."""
    effects = np.zeros((len(graph.nodes), len(graph.outputs)), np.int64)
    blocked = np.zeros(len(graph.nodes), bool)
    for lane, out in enumerate(graph.outputs):
        effects[out.node, lane] += 1 << out.shift
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        if not node.is_adder:
            continue
        effects[node.a] += effects[i] << node.shift_a
        effects[node.b] += (effects[i] << node.shift_b) * (-1 if node.op == "sub" else 1)
        if blocked[i] or node.drop:
            blocked[[node.a, node.b]] = True
    effects[blocked] = 0
    return effects


def _choose(carries: _Carries, bias: NDArray[np.int64]) -> tuple[list[int], NDArray[np.int64]]:
    """Nodes whose carry-in is set, and what remains of the bias.

    Shared carry-ins are moved greedily until every output's remainder is (nearly) a sum of its
    private ones.
    """
    reach = [_Reach([int(carries.effects[j, n]) for j in own])
             for n, own in enumerate(carries.private)]  # fmt: skip
    private = {j for own in carries.private for j in own}
    shared = [j for j in range(len(carries.nodes)) if j not in private]
    on = _move_shared(carries.effects[shared], bias, reach)
    chosen = [shared[j] for j in np.flatnonzero(on)]
    rest = bias - carries.effects[chosen].sum(axis=0)
    for n, lane in enumerate(reach):
        nearest = lane.nearest(int(rest[n]))
        chosen += [carries.private[n][j] for j in lane.sums[nearest]]
        rest[n] -= nearest
    return [carries.nodes[j] for j in chosen], rest


def _move_shared(
    effects: NDArray[np.int64], bias: NDArray[np.int64], reach: list["_Reach"]
) -> NDArray[np.bool_]:
    """Which shared carry-ins `effects [J, N]` to set: greedy descent of the distance between
    the remainders and what the private ones reach."""
    on = np.zeros(len(effects), bool)
    rest = bias.copy()
    lanes = range(len(reach))
    for _ in range(MOVES if len(effects) else 0):
        now = np.array([reach[n].distance(rest[n : n + 1])[0] for n in lanes])
        if not now.any():
            break
        moved = rest + np.where(on[:, None], effects, -effects)
        after = np.stack([reach[n].distance(moved[:, n]) for n in lanes], axis=1).sum(axis=1)
        best = int(np.argmin(after))
        if after[best] >= now.sum():
            break
        on[best] = not on[best]
        rest = moved[best]
    return on


class _Reach:
    """Sums of subsets of one output's private carry-ins."""

    def __init__(self, weights: list[int]) -> None:
        self.sums: dict[int, tuple[int, ...]] = {0: ()}
        for index, weight in enumerate(weights):
            for total, used in list(self.sums.items()):
                known = self.sums.get(total + weight)
                if known is None or len(known) > len(used) + 1:
                    self.sums[total + weight] = (*used, index)
        self.sorted = np.array(sorted(self.sums), np.int64)

    def nearest(self, target: int) -> int:
        """The reachable sum closest to `target`."""
        return int(self.sorted[np.argmin(np.abs(self.sorted - target))])

    def distance(self, targets: NDArray[np.int64]) -> NDArray[np.float64]:
        """To the nearest reachable sum; growing slowly, since any distance costs one adder."""
        above = np.clip(np.searchsorted(self.sorted, targets), 0, len(self.sorted) - 1)
        below = np.maximum(above - 1, 0)
        gap = np.minimum(np.abs(self.sorted[above] - targets), np.abs(self.sorted[below] - targets))
        return np.where(gap == 0, 0.0, 1.0 + np.log2(1.0 + gap))


def _with_constants(graph: AdderGraph, carries: list[int], rest: NDArray[np.int64]) -> AdderGraph:
    """`graph` with those carry-ins set and one constant addition per output with a rest: at
    the narrowest node that only this output depends on, else after the output."""
    inside = _places(graph, rest)
    nodes: list[Node] = []
    moved: list[int] = []  # where each node of `graph` is now, its constant added
    on = set(carries)
    for i, node in enumerate(graph.nodes):
        if node.is_adder:
            node = replace(node, a=moved[node.a], b=moved[node.b], carry=node.carry or i in on)
        nodes.append(node)
        if i in inside:
            _append_constant(nodes, len(nodes) - 1, 0, inside[i][1])
        moved.append(len(nodes) - 1)
    settled = {lane for lane, _ in inside.values()}
    outputs = []
    for lane, (out, constant) in enumerate(zip(graph.outputs, rest.tolist(), strict=True)):
        place = Output(moved[out.node], out.shift)
        if constant and lane not in settled:
            place = Output(_append_constant(nodes, place.node, place.shift, constant))
        outputs.append(place)
    return _reranged(graph, nodes, tuple(outputs))


def _append_constant(nodes: list[Node], node: int, shift: int, constant: int) -> int:
    """Append `(nodes[node] << shift) + constant`; its index."""
    if nodes[node].op == "const":
        nodes.append(Node("const", value=(nodes[node].value << shift) + constant))
    else:
        nodes.append(Node("const", value=constant))
        nodes.append(Node("add", node, len(nodes) - 1, shift, 0))
    return len(nodes) - 1


def _places(graph: AdderGraph, rest: NDArray[np.int64]) -> dict[int, tuple[int, int]]:
    """Node → (output, constant to add there) for outputs whose rest fits a private node."""
    effects = _effects(graph)
    lanes = (effects != 0).sum(axis=1)
    best: dict[int, tuple[int, int, int]] = {}
    for i in np.flatnonzero(lanes == 1).tolist():
        node, lane = graph.nodes[i], int(np.flatnonzero(effects[i])[0])
        effect = int(effects[i, lane])
        if not rest[lane] or rest[lane] % effect or not node.is_adder:
            continue
        constant = int(rest[lane]) // effect
        bits = width(node.lo + constant, node.hi + constant)
        if lane not in best or bits < best[lane][0]:
            best[lane] = (bits, i, constant)
    return {i: (lane, constant) for lane, (_, i, constant) in best.items()}


def _reranged(graph: AdderGraph, nodes: list[Node], outputs: tuple[Output, ...]) -> AdderGraph:
    """The graph with the ranges its nodes now have."""
    draft = AdderGraph(graph.in_lo, graph.in_hi, tuple(nodes), outputs)
    lo, hi = form_ranges(draft.linear_forms, graph.in_lo, graph.in_hi)
    ranged = tuple(
        replace(n, lo=low, hi=high)
        for n, low, high in zip(nodes, lo.tolist(), hi.tolist(), strict=True)
    )
    return AdderGraph(graph.in_lo, graph.in_hi, ranged, outputs)
