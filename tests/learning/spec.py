"""Short-term plasticity once more, written from docs/LEARNING.md alone: a second opinion on
codesign.learning.ShortTerm. Numbers are integers, arrays of int64, or wires, as in
tests/neurons/spec.py."""

from codesign.neurons import Leak
from codesign.neurons.leak import PRODUCTS
from tests.neurons.spec import decay, hold, select


def strength(w, f):
    """What a spike that passes a synapse is worth."""
    return w + f


def plastic(word, leak, f, gain, x, s, ends=0):
    """F of a synapse after a step: ``x``, ``s``: whether its input and its output spiked;
    ``ends``: whether the frame ends with the step, after which F is 0 again."""
    left = decay(leak, f, 0)
    together = select(x & s, gain, 0)
    return select(ends == 1, 0, hold(word, left + together))


def amounts(kind):
    """Leaks of a kind with every amount that small words tell apart."""
    if kind in PRODUCTS:
        return [Leak(kind, [n], 3) for n in range(9)]
    return [Leak(kind, [n]) for n in (range(8) if kind == "linear" else range(1, 6))]
