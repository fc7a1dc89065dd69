"""Find a small shift-add graph for a constant matrix.

da4ml's solver (LGPL, called, not copied) shares sub-expressions; what it returns is turned
into integer linear forms, made free of duplicates and dead nodes, given the polarity (value or
its negative) that makes the carry chains shortest, and proven equal to the matrix.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codesign.hdl.adders.bias import fold_bias
from codesign.hdl.adders.graph import AdderGraph, Node, Output, form_ranges, lut_estimate
from codesign.hdl.adders.polarity import Term, choose_polarity

__all__ = ["Forms", "Term", "solve"]

# Nonzero signed digits up to which that many solver calls are made (about 1.5 s on one core).
# The solver is greedy: the order of rows and columns moves its result by about one per cent.
EFFORT = ((8_000, 1), (4_000, 3), (1_500, 6), (400, 12))
MOST = 16


ZERO = Term(-1)


@dataclass
class Forms:
    """Linear forms under construction: node `i` is input `i` for `i < K`, else the sum of its
    two terms, halved `drops[i]` times; no node has a common factor of two, and nodes equal up
    to sign and a power of two are shared."""

    count: int
    terms: list[tuple[Term, Term] | None] = field(default_factory=list)
    drops: list[int] = field(default_factory=list)
    vectors: list[NDArray[np.int64]] = field(default_factory=list)
    known: dict[bytes, Term] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for vector in np.eye(self.count, dtype=np.int64):
            self._append(vector, None)

    def _append(self, vector: NDArray[np.int64], terms: tuple[Term, Term] | None) -> Term:
        sign, shift, key = _canonical(vector)
        self.terms.append(terms)
        self.drops.append(shift)
        self.vectors.append(vector >> shift)
        node = len(self.terms) - 1
        self.known[key] = Term(node, sign)
        return Term(node, 1, shift)

    def add(self, a: Term, b: Term) -> Term:
        """A term equal to `a + b`; shifts may be negative (fractions in the solver's scale)."""
        if a.node < 0 or b.node < 0:
            return b if a.node < 0 else a
        low = min(a.shift, b.shift)
        a, b = Term(a.node, a.sign, a.shift - low), Term(b.node, b.sign, b.shift - low)
        vector = a.sign * (self.vectors[a.node] << a.shift)
        vector = vector + b.sign * (self.vectors[b.node] << b.shift)
        if not vector.any():
            return ZERO
        sign, shift, key = _canonical(vector)
        known = self.known.get(key)
        if known is None:
            node = self._append(vector, (a, b))
            return Term(node.node, 1, low + node.shift)
        return Term(known.node, sign * known.sign, low + shift)


def _canonical(vector: NDArray[np.int64]) -> tuple[int, int, bytes]:
    """Sign, power of two and bytes of the form with both taken out."""
    bits = int(np.bitwise_or.reduce(vector))
    shift = (bits & -bits).bit_length() - 1
    first = vector[np.flatnonzero(vector)[0]]
    sign = 1 if first > 0 else -1
    return sign, shift, (sign * (vector >> shift)).tobytes()


def signed_digits(weights: NDArray[np.int64]) -> int:
    """Nonzero digits of the canonical signed digit form: the size of the problem."""
    magnitude = np.abs(weights)
    return int(np.bitwise_count((3 * magnitude) ^ magnitude).sum())


def solve(
    weights: ArrayLike,
    in_lo: ArrayLike,
    in_hi: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    shallow: bool = False,
) -> AdderGraph:
    """The cheapest graph found for `weights [N, K] @ x [K] + bias [N]`.

    `in_lo`, `in_hi`: inclusive range of the inputs, one number or `[K]`. `bias` is folded into
    free carry-ins where they allow it. `shallow` prefers few adder levels over few adders.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or not np.issubdtype(weights.dtype, np.integer):
        raise ValueError(f"weights must be integers [N, K], got {weights.dtype}{weights.shape}")
    weights = weights.astype(np.int64)
    if np.abs(weights).max(initial=0) >= 1 << 23:
        raise ValueError(f"weights beyond 24 bits: {np.abs(weights).max()}")
    lo, hi = _bounds(in_lo, weights.shape[1], "in_lo"), _bounds(in_hi, weights.shape[1], "in_hi")
    for k, (low, high) in enumerate(zip(lo, hi, strict=True)):
        if low > high:
            raise ValueError(f"input {k} has an empty range: in_lo={low} > in_hi={high}")
    constants = None if bias is None else tuple(int(b) for b in _integers(bias, "bias").ravel())
    return _solve(weights.tobytes(), weights.shape, (lo, hi), constants, shallow)


@lru_cache(maxsize=64)
def _solve(
    data: bytes,
    shape: tuple[int, int],
    bounds: tuple[tuple[int, ...], tuple[int, ...]],
    bias: tuple[int, ...] | None,
    shallow: bool,
) -> AdderGraph:
    """`solve` on checked, hashable arguments: a layer is solved once per process."""
    weights = np.frombuffer(data, np.int64).reshape(shape)
    if bias is None:
        effort = next((n for limit, n in EFFORT if signed_digits(weights) > limit), MOST)
        graphs = [_candidate(weights, *bounds, seed, shallow) for seed in range(effort)]
        graph = min(graphs, key=lut_estimate)
    else:
        plain = _solve(data, shape, bounds, None, shallow)
        graph = fold_bias(plain, np.array(bias, np.int64))
    graph.prove(weights, bias)
    return graph


def _integers(value: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, got {array.dtype} {array.shape}")
    return array.astype(np.int64)


def _bounds(value: ArrayLike, count: int, name: str) -> tuple[int, ...]:
    array = _integers(value, name)
    if array.ndim == 0:
        return (int(array),) * count
    if array.shape != (count,):
        raise ValueError(f"{name} must be one number or [{count}], got shape {array.shape}")
    return tuple(int(v) for v in array)


def _candidate(
    weights: NDArray[np.int64],
    lo: tuple[int, ...],
    hi: tuple[int, ...],
    seed: int,
    shallow: bool = False,
) -> AdderGraph:
    """One call of the solver, converted, cleaned and with polarities chosen."""
    forms = Forms(weights.shape[1])
    outputs = _run_solver(forms, weights, (lo, hi), seed, shallow)
    return build(forms, outputs, lo, hi)


def _run_solver(
    forms: Forms,
    weights: NDArray[np.int64],
    bounds: tuple[tuple[int, ...], tuple[int, ...]],
    seed: int,
    shallow: bool,
) -> list[Term]:
    """Call da4ml on the rows and columns that are not zero, in the order `seed` gives; one
    term per output."""
    from da4ml.cmvm import solve as cmvm

    outputs = [ZERO] * weights.shape[0]
    rows, columns = np.flatnonzero(weights.any(axis=1)), np.flatnonzero(weights.any(axis=0))
    if not rows.size:
        return outputs
    if seed:
        rng = np.random.default_rng(seed)
        rows, columns = rng.permutation(rows), rng.permutation(columns)
    pipeline = cmvm(
        np.ascontiguousarray(weights[np.ix_(rows, columns)].T, np.float32),
        method0="mc" if seed % 2 else "wmc",
        hard_dc=0 if shallow else -1,
        search_all_decompose_dc=False,
        qintervals=[_interval(bounds[0][k], bounds[1][k]) for k in columns],
        latencies=[0.0] * len(columns),
    )
    terms = [Term(int(k)) for k in columns]
    for logic in pipeline.solutions:
        terms = _convert(forms, logic, terms)
    for row, term in zip(rows, terms, strict=True):
        outputs[row] = term
    return outputs


def _interval(lo: int, hi: int) -> tuple[float, float, float]:
    """da4ml's form of a range; constant inputs are widened, or it would drop them."""
    return float(lo), float(hi if hi > lo else lo + 1), 1.0


def _convert(forms: Forms, logic: Any, terms: list[Term]) -> list[Term]:
    """The operations of one da4ml `CombLogic` applied to `terms`."""
    values: list[Term] = []
    for op in logic.ops:
        if op.opcode == -1:
            values.append(_scaled(terms[op.id0], 1, logic.inp_shifts[op.id0]))
        elif op.opcode in (0, 1):
            second = _scaled(values[op.id1], -1 if op.opcode else 1, op.data)
            values.append(forms.add(values[op.id0], second))
        else:
            raise ValueError(f"the solver returned an operation that is no addition: {op}")
    return [
        ZERO if index < 0 else _scaled(values[index], -1 if negative else 1, shift)
        for index, shift, negative in zip(
            logic.out_idxs, logic.out_shifts, logic.out_negs, strict=True
        )
    ]


def _scaled(term: Term, sign: int, shift: int) -> Term:
    return Term(term.node, term.sign * sign, term.shift + int(shift))


def build(
    forms: Forms, outputs: list[Term], lo: tuple[int, ...], hi: tuple[int, ...]
) -> AdderGraph:
    """The live part of `forms` as an `AdderGraph` with the best polarities."""
    live = _live(forms, outputs)
    vectors = np.pad(np.array(forms.vectors).reshape(len(forms.terms), -1), ((0, 0), (0, 1)))
    low, high = (r.tolist() for r in form_ranges(vectors, lo, hi))
    polarity = choose_polarity(forms.terms, outputs, live, low, high)
    nodes: list[Node] = []
    place: dict[int, int] = {}
    for i in live:
        place[i] = len(nodes)
        bounds = (low[i], high[i]) if polarity[i] > 0 else (-high[i], -low[i])
        terms = forms.terms[i]
        if terms is None:
            nodes.append(Node("input", a=i, lo=bounds[0], hi=bounds[1]))
        else:
            signs = [t.sign * polarity[t.node] * polarity[i] for t in terms]
            nodes.append(_adder(terms, signs, place, bounds, forms.drops[i]))
    return AdderGraph(lo, hi, *_finish(nodes, place, outputs, polarity))


def _live(forms: Forms, outputs: list[Term]) -> list[int]:
    """Indices of the nodes the outputs depend on, in topological order."""
    wanted = {t.node for t in outputs if t.node >= 0}
    for i in range(len(forms.terms) - 1, -1, -1):
        terms = forms.terms[i]
        if i in wanted and terms is not None:
            wanted.update(t.node for t in terms)
    return sorted(wanted)


def _adder(
    terms: tuple[Term, Term],
    signs: list[int],
    place: dict[int, int],
    bounds: tuple[int, int],
    drop: int,
) -> Node:
    first, second = terms
    if signs[0] < 0:
        first, second, signs = second, first, signs[::-1]
    return Node(
        "add" if signs[1] > 0 else "sub",
        place[first.node],
        place[second.node],
        first.shift,
        second.shift,
        drop=drop,
        lo=bounds[0],
        hi=bounds[1],
    )


def _finish(
    nodes: list[Node], place: dict[int, int], outputs: list[Term], polarity: dict[int, int]
) -> tuple[tuple[Node, ...], tuple[Output, ...]]:
    """Outputs, with a shared zero constant and shared negations where they are needed."""
    zero = -1
    negated: dict[int, int] = {}
    results: list[Output] = []
    for term in outputs:
        needs_negation = term.node >= 0 and term.sign * polarity[term.node] < 0
        if zero < 0 and (term.node < 0 or needs_negation):
            zero = len(nodes)
            nodes.append(Node("const"))
        if term.node < 0:
            results.append(Output(zero))
            continue
        index = place[term.node]
        if needs_negation and index not in negated:
            negated[index] = len(nodes)
            node = nodes[index]
            nodes.append(Node("sub", zero, index, lo=-node.hi, hi=-node.lo))
        results.append(Output(negated[index] if needs_negation else index, term.shift))
    return tuple(nodes), tuple(results)
