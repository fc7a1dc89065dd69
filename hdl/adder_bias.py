"""Fold constants into a shift-add graph where they cost nothing: unused carry-ins."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .adder_graph import AdderGraph, Node, Output, chain_bits, form_ranges

__all__ = ["fold_bias"]


def fold_bias(graph: AdderGraph, bias: NDArray) -> AdderGraph:
    """`graph` with `bias [N]` added to its outputs.

    Adders that only one output depends on take `2^k` of its bias on their carry-in; what
    remains is one constant addition.
    """
    bias = np.asarray(bias)
    if bias.shape != (len(graph.outputs),) or not np.issubdtype(bias.dtype, np.integer):
        raise ValueError(
            f"bias must be {len(graph.outputs)} integers, got {bias.dtype} {bias.shape}"
        )
    nodes = list(graph.nodes)
    free = _free_carries(graph)
    rest = []
    for lane, constant in enumerate(bias.tolist()):
        left = _take(nodes, free.get(lane, []), int(constant))
        rest.append(left)
    nodes, outputs = _with_constants(graph, nodes, rest)
    return _reranged(graph, nodes, outputs)


def _free_carries(graph: AdderGraph) -> dict[int, list[tuple[int, int]]]:
    """Per output lane: (node, signed weight of its carry-in at the output), largest first."""
    effects: list[dict[int, int] | None] = [{} for _ in graph.nodes]
    for lane, out in enumerate(graph.outputs):
        effect = effects[out.node]
        effects[out.node] = None if effect else {lane: 1 << out.shift}
    for i in range(len(graph.nodes) - 1, -1, -1):
        node, own = graph.nodes[i], effects[i]
        for operand, shift, sign in (
            (node.a, node.shift_a, 1),
            (node.b, node.shift_b, -1 if node.op == "sub" else 1),
        ):
            if not node.is_adder:
                continue
            seen = effects[operand]
            if own is None or seen is None or seen or node.drop:
                effects[operand] = None
            else:
                effects[operand] = {lane: sign * (w << shift) for lane, w in own.items()}
    carries: dict[int, list[tuple[int, int]]] = {}
    for i, (node, effect) in enumerate(zip(graph.nodes, effects, strict=True)):
        if node.op != "add" or not effect or node.drop or chain_bits(node, graph.nodes) < 5:
            continue
        for lane, weight in effect.items():
            carries.setdefault(lane, []).append((i, weight << max(node.shift_a, node.shift_b)))
    return {k: sorted(v, key=lambda c: -abs(c[1])) for k, v in carries.items()}


def _take(nodes: list[Node], free: list[tuple[int, int]], constant: int) -> int:
    """Set carry-ins that together make `constant`; return what they cannot make."""
    chosen = _subset([w for _, w in free], constant)
    if chosen is None:
        return constant
    for i in chosen:
        nodes[free[i][0]] = replace(nodes[free[i][0]], carry=True)
    return 0


def _subset(weights: list[int], target: int) -> list[int] | None:
    """Indices of a subset of `weights` with the given sum, few of them; `None` if there is
    none. Breadth first over reachable sums."""
    reached: dict[int, tuple[int, ...]] = {0: ()}
    for index, weight in enumerate(weights):
        if target in reached:
            break
        for total, used in list(reached.items()):
            if total + weight not in reached:
                reached[total + weight] = (*used, index)
    return None if target not in reached else list(reached[target])


def _with_constants(
    graph: AdderGraph, nodes: list[Node], rest: list[int]
) -> tuple[list[Node], tuple[Output, ...]]:
    """One constant addition for every output whose bias is left over."""
    outputs: list[Output] = []
    constants: dict[int, int] = {}
    for out, constant in zip(graph.outputs, rest, strict=True):
        if not constant:
            outputs.append(out)
            continue
        if constant not in constants:
            constants[constant] = len(nodes)
            nodes.append(Node("const", value=constant))
        place = constants[constant]
        if nodes[out.node].op == "const" and nodes[out.node].value == 0:
            outputs.append(Output(place))
            continue
        nodes.append(Node("add", out.node, place, out.shift, 0))
        outputs.append(Output(len(nodes) - 1))
    return nodes, tuple(outputs)


def _reranged(graph: AdderGraph, nodes: list[Node], outputs: tuple[Output, ...]) -> AdderGraph:
    """The graph with the ranges its nodes now have."""
    draft = AdderGraph(graph.in_lo, graph.in_hi, tuple(nodes), outputs)
    lo, hi = form_ranges(draft.linear_forms, graph.in_lo, graph.in_hi)
    ranged = tuple(
        replace(n, lo=low, hi=high)
        for n, low, high in zip(nodes, lo.tolist(), hi.tolist(), strict=True)
    )
    return AdderGraph(graph.in_lo, graph.in_hi, ranged, outputs)
