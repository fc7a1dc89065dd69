"""Integer shift-add graphs: what a constant matrix-vector product becomes without multipliers.

An `AdderGraph` computes `W x + bias` for integer `x` of shape `[K]` with shifts (free wiring)
and two-operand additions and subtractions. Every node is an integer linear form of the inputs,
so its exact range follows from its coefficients; no node is wider than that range needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["AdderGraph", "Node", "Output", "chain_bits", "chain_luts", "lut_estimate", "width"]


def width(lo: int, hi: int) -> int:
    """Bits of a value in `[lo, hi]`: unsigned when `lo >= 0`, else two's complement."""
    if lo > hi:
        raise ValueError(f"an empty range has no width: lo={lo} > hi={hi}")
    if lo >= 0:
        return hi.bit_length()
    return max((-lo - 1).bit_length(), max(hi, 0).bit_length()) + 1


@dataclass(frozen=True)
class Node:
    """One value of the graph; earlier nodes are referred to by their index.

    `input`: lane `a`. `const`: `value`. `add`/`sub`:
    `((nodes[a] << shift_a) ± (nodes[b] << shift_b) + (carry << max(shift_a, shift_b))) >> drop`.
    The carry is the adder's carry-in, a constant that costs nothing; the `drop` low bits are
    always zero. `[lo, hi]` is exact.
    """

    op: Literal["input", "const", "add", "sub"]
    a: int = 0
    b: int = 0
    shift_a: int = 0
    shift_b: int = 0
    carry: bool = False
    drop: int = 0
    value: int = 0
    lo: int = 0
    hi: int = 0

    @property
    def is_adder(self) -> bool:
        return self.op in ("add", "sub")

    @property
    def width(self) -> int:
        return width(self.lo, self.hi)

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.a, self.b) if self.is_adder else ()


@dataclass(frozen=True)
class Output:
    """Result lane: `nodes[node] << shift`."""

    node: int
    shift: int = 0


def pass_bits(node: Node, nodes: Sequence[Node]) -> int:
    """Low result bits that are wires: the unshifted operand's, where the other has zeros."""
    if node.shift_a == 0:
        return node.shift_b
    return node.shift_a if node.op == "add" else 0


def chain_bits(node: Node, nodes: Sequence[Node]) -> int:
    """Length of the node's carry chain in bits; 0 for wiring such as a concatenation."""
    if not node.is_adder:
        return 0
    low = pass_bits(node, nodes)
    unshifted = nodes[node.b if node.shift_a else node.a]
    if node.op == "add" and not node.carry and low and unshifted.lo >= 0 and unshifted.width <= low:
        return 0
    return max(0, node.width + node.drop - low)


def chain_luts(bits: int) -> int:
    """LUT4 equivalents of a carry chain on ECP5: yosys maps five bits and more to CCU2C pairs
    (two LUTs each), shorter ones to plain LUTs (measured means)."""
    if bits <= 4:
        return (0, 1, 2, 3, 6)[bits]
    return (bits + 1) // 2 * 2


@dataclass(frozen=True)
class AdderGraph:
    """A shift-add graph: `nodes` in topological order, one `Output` per row of the matrix.

    `in_lo`, `in_hi`: inclusive range of each of the K inputs.
    """

    in_lo: tuple[int, ...]
    in_hi: tuple[int, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        if len(self.in_lo) != len(self.in_hi):
            raise ValueError(f"{len(self.in_lo)} lower but {len(self.in_hi)} upper bounds")
        for index, node in enumerate(self.nodes):
            if any(operand >= index for operand in node.operands):
                raise ValueError(f"node {index} uses a later node: {node}")

    @property
    def adders(self) -> int:
        """Number of additions and subtractions that need logic."""
        return sum(chain_bits(node, self.nodes) > 0 for node in self.nodes)

    @cached_property
    def linear_forms(self) -> NDArray[np.int64]:
        """`[nodes, K + 1]`: each node's input coefficients, then its constant."""
        forms = np.zeros((len(self.nodes), len(self.in_lo) + 1), np.int64)
        for i, node in enumerate(self.nodes):
            if node.op == "input":
                forms[i, node.a] = 1
            elif node.op == "const":
                forms[i, -1] = node.value
            else:
                a, b = forms[node.a] << node.shift_a, forms[node.b] << node.shift_b
                forms[i] = a - b if node.op == "sub" else a + b
                forms[i, -1] += int(node.carry) << max(node.shift_a, node.shift_b)
                forms[i] >>= node.drop
        return forms

    @cached_property
    def matrix(self) -> NDArray[np.int64]:
        """`[N, K + 1]`: what the graph computes, weights then bias."""
        shifts = np.array([[out.shift] for out in self.outputs], np.int64).reshape(-1, 1)
        return self.linear_forms[[out.node for out in self.outputs]] << shifts

    @cached_property
    def out_lo(self) -> NDArray[np.int64]:
        """`[N]` smallest reachable value of each output."""
        return np.array([self.nodes[o.node].lo << o.shift for o in self.outputs], np.int64)

    @cached_property
    def out_hi(self) -> NDArray[np.int64]:
        """`[N]` largest reachable value of each output."""
        return np.array([self.nodes[o.node].hi << o.shift for o in self.outputs], np.int64)

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Adders on the longest path to each node."""
        levels: list[int] = []
        for node in self.nodes:
            below = max((levels[o] for o in node.operands), default=0)
            levels.append(below + (chain_bits(node, self.nodes) > 0))
        return tuple(levels)

    def evaluate(self, x: ArrayLike) -> NDArray[np.int64]:
        """`x [..., K]` integer codes → `[..., N]`, node by node as the circuit does it."""
        x = np.asarray(x, np.int64)
        if x.shape[-1:] != (len(self.in_lo),):
            raise ValueError(f"expected [..., {len(self.in_lo)}] inputs, got shape {x.shape}")
        values: list[NDArray[np.int64]] = []
        for node in self.nodes:
            if node.op == "input":
                value = x[..., node.a]
            elif node.op == "const":
                value = np.full(x.shape[:-1], node.value, np.int64)
            else:
                a, b = values[node.a] << node.shift_a, values[node.b] << node.shift_b
                value = a - b if node.op == "sub" else a + b
                value = value + (int(node.carry) << max(node.shift_a, node.shift_b)) >> node.drop
            values.append(value)
        return np.stack([values[o.node] << o.shift for o in self.outputs], axis=-1)

    def prove(self, weights: ArrayLike, bias: ArrayLike | None = None) -> None:
        """Compare the coefficients of every output with `weights [N, K]` and `bias [N]`, and
        every node's stored range with the one its linear form has. Raises `ValueError`."""
        weights = np.asarray(weights, np.int64)
        wanted = np.zeros((weights.shape[0], weights.shape[1] + 1), np.int64)
        wanted[:, :-1] = weights
        wanted[:, -1] = 0 if bias is None else np.asarray(bias, np.int64)
        if self.matrix.shape != wanted.shape or not np.array_equal(self.matrix, wanted):
            raise ValueError(
                f"the adder graph computes another matrix: shape {self.matrix.shape} against "
                f"{wanted.shape}" + _first_difference(self.matrix, wanted)
            )
        lo, hi = form_ranges(self.linear_forms, self.in_lo, self.in_hi)
        stored = np.array([(n.lo, n.hi) for n in self.nodes], np.int64).reshape(-1, 2)
        if not (np.array_equal(lo, stored[:, 0]) and np.array_equal(hi, stored[:, 1])):
            bad = int(np.flatnonzero((lo != stored[:, 0]) | (hi != stored[:, 1]))[0])
            raise ValueError(f"node {bad} reaches [{lo[bad]}, {hi[bad]}], not {self.nodes[bad]}")


def _first_difference(got: NDArray[np.int64], wanted: NDArray[np.int64]) -> str:
    if got.shape != wanted.shape:
        return ""
    n, k = (int(i) for i in np.argwhere(got != wanted)[0])
    return f"; first at output {n}, column {k}: {got[n, k]} instead of {wanted[n, k]}"


def form_ranges(
    forms: NDArray[np.int64], in_lo: Sequence[int], in_hi: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exact `[lo, hi]` of linear forms `[nodes, K + 1]` over the box of inputs."""
    weights, const = forms[:, :-1], forms[:, -1]
    pos: NDArray[np.int64] = np.maximum(weights, 0)
    neg: NDArray[np.int64] = np.minimum(weights, 0)
    lo, hi = np.array(in_lo, np.int64), np.array(in_hi, np.int64)
    low: NDArray[np.int64] = pos @ lo + neg @ hi + const
    high: NDArray[np.int64] = pos @ hi + neg @ lo + const
    return low, high


def lut_estimate(graph: AdderGraph) -> int:
    """LUT4 equivalents (LUT4 + 2 CCU2C) of the graph's adders on ECP5."""
    return sum(chain_luts(chain_bits(node, graph.nodes)) for node in graph.nodes)
