"""Choose for every node of a shift-add graph whether to compute its value or its negative.

`a - (b << k)` passes the low k bits of `a` through as wires; `(b << k) - a` does not. Which of
the two a node is depends on its polarity and its operands', so flipping nodes shortens carry
chains. A node that would have to compute `-a - b` is not allowed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from codesign.hdl.adders.graph import chain_luts, width

__all__ = ["Term", "choose_polarity"]


@dataclass(frozen=True)
class Term:
    """`sign * (node << shift)`; `node < 0` is zero."""

    node: int
    sign: int = 1
    shift: int = 0


Terms = Sequence[tuple[Term, Term] | None]


SWEEPS = 8


def choose_polarity(
    terms: Terms, outputs: Sequence[Term], live: Sequence[int], lo: Sequence[int], hi: Sequence[int]
) -> dict[int, int]:
    """Polarity (+1 or -1) of every live node; inputs stay +1.

    `terms[i]`: what node i is the sum of (`None`: an input); `lo[i]`, `hi[i]`: its range.
    """
    search = _Search(terms, outputs, live, lo, hi)
    for _ in range(SWEEPS):
        improved = False
        for node in live:
            if terms[node] is not None:
                improved |= search.try_flip(node)
        if not improved:
            break
    return search.polarity


class _Search:
    """Greedy descent over flips; a flip takes the consumers it makes illegal with it."""

    def __init__(
        self,
        terms: Terms,
        outputs: Sequence[Term],
        live: Sequence[int],
        lo: Sequence[int],
        hi: Sequence[int],
    ) -> None:
        self.terms, self.lo, self.hi = terms, lo, hi
        self.wanted: dict[int, list[int]] = {}
        for term in outputs:
            if term.node >= 0:
                self.wanted.setdefault(term.node, []).append(term.sign)
        self.users: dict[int, list[int]] = {node: [] for node in live}
        self.polarity = dict.fromkeys(live, 1)
        for node in live:
            for term in terms[node] or ():
                self.users[term.node].append(node)
            if terms[node] is not None and self._signs(node) == [-1, -1]:
                self.polarity[node] = -1
        self.cost = {node: self._cost(node) for node in live}

    def _signs(self, node: int) -> list[int]:
        own = self.polarity[node]
        return [own * t.sign * self.polarity[t.node] for t in self.terms[node] or ()]

    def _cost(self, node: int) -> int:
        """LUTs of the node's chain and of the negations its outputs need, in quarter LUTs so
        that shorter chains win also where the LUT count is the same."""
        lo, hi = self.lo[node], self.hi[node]
        if self.polarity[node] < 0:
            lo, hi = -hi, -lo
        bits = width(lo, hi)
        wanted = self.wanted.get(node, ())
        negation = 4 * chain_luts(bits + 1) if any(s != self.polarity[node] for s in wanted) else 0
        terms = self.terms[node]
        if terms is None:
            return negation
        first, second = terms
        sign_first, sign_second = self._signs(node)
        passes = first.shift if second.shift == 0 else second.shift
        sign_unshifted = sign_second if second.shift == 0 else sign_first
        chain = bits - passes if sign_unshifted > 0 or passes == 0 else bits
        return 4 * chain_luts(max(chain, 0)) + chain + negation

    def try_flip(self, node: int) -> bool:
        """Flip `node` (and what must follow) if that lowers the cost."""
        if self._signs(node) == [1, 1]:
            return False
        flipped: set[int] = set()
        pending = [node]
        while pending:
            current = pending.pop()
            if current in flipped:
                continue
            flipped.add(current)
            self.polarity[current] = -self.polarity[current]
            for user in self.users[current]:
                if self._signs(user) == [-1, -1] and user not in flipped:
                    pending.append(user)
        touched = flipped.union(*(self.users[n] for n in flipped))
        legal = all(self.terms[n] is None or self._signs(n) != [-1, -1] for n in touched)
        if legal:
            costs = {n: self._cost(n) for n in touched}
            if sum(costs.values()) < sum(self.cost[n] for n in touched):
                self.cost.update(costs)
                return True
        for n in flipped:
            self.polarity[n] = -self.polarity[n]
        return False
