"""The equations of :class:`codesign.learning.Tess` on a :class:`Flow`: one lane of each."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, Signal, Value

from codesign.hdl.neurons.cell import scratch
from codesign.hdl.neurons.flow import Flow
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.neurons.parts import fit, leak, shift_right
from codesign.hdl.pipeline import BLOCK_MEMORY_NS, REGISTER_NS, STAGE_NS
from codesign.hdl.stream import range_shape
from codesign.learning import Tess
from codesign.neurons import Leak, Word


def leaked(flow: Flow, of: Leak, v: Num) -> Num:
    """What a leak that is the same for all leaves of ``v``."""
    return leak(flow, of, constant(int(of.amount[0])), v)


def from_memory(value: Value, word: Word, stage: int = 0) -> Num:
    """A code of ``word`` as a block memory gives it."""
    typed = value.as_signed() if word.signed else value
    shaped = range_shape(word.lo, word.hi)
    assert shaped.width == len(value), (word, len(value))
    return Num(typed, word.lo, word.hi, stage, BLOCK_MEMORY_NS, BLOCK_MEMORY_NS)


def from_register(value: Value, lo: int, hi: int, stage: int = 0) -> Num:
    """An integer in a register."""
    return Num(value, lo, hi, stage, REGISTER_NS, REGISTER_NS)


def trace_of_input(flow: Flow, rule: Tess, old: Num, x: Num) -> Num:
    """``tr_j`` after a step; ``x``: whether the input spiked."""
    unit = 1 << rule.pre.frac
    return fit(
        flow,
        rule.pre,
        flow.add(
            leaked(flow, rule.pre_leak, old),
            flow.shift_left(x, rule.pre.frac) if unit > 1 else x,
            "raised",
        ),
    )


def psi_of(flow: Flow, rule: Tess, v: Num, theta: Num) -> Num:
    """``Psi_i`` of a membrane."""
    table = rule.psi.table.tolist()
    ahead, behind = flow.sub(v, theta, "ahead"), flow.sub(theta, v, "behind")
    distance = flow.mux(flow.negative(ahead), behind, ahead, "distance")
    far = max(abs(ahead.lo), abs(ahead.hi))
    distance = flow.floor_shift(flow.within(distance, 0, far), rule.psi.shift)
    place = flow.clamp(distance, 0, len(table) - 1)
    return flow.lookup(place, table[place.lo : place.hi + 1], "psi")


def trace_of_output(flow: Flow, rule: Tess, old: Num, psi: Num) -> Num:
    """``trPsi_i`` after a step."""
    return fit(flow, rule.post, flow.add(leaked(flow, rule.post_leak, old), psi, "gathered"))


def factors(flow: Flow, rule: Tess, m: Num, psi: Num, post: Num) -> tuple[Num, Num]:
    """``G_i`` and ``H_i``."""
    g = shift_right(flow, flow.mul(m, psi, "now"), rule.pre_factor_shift, rule.rounding)
    g = fit(flow, rule.factor, g)
    if rule.post_shift is None:
        return g, constant(0)
    h = shift_right(flow, flow.mul(m, post, "past"), rule.post_factor_shift, rule.rounding)
    return g, fit(flow, rule.factor, h)


def new_weight(flow: Flow, rule: Tess, w: Num, g: Num, h: Num, pre: Num, x: Num) -> Num:
    """``w_ij`` after a step."""
    change = flow.mul(g, pre, "change")
    if rule.post_shift is not None:
        spiked = flow.mux(x, flow.shift_left(h, rule.pre.frac), constant(0), "spiked")
        change = flow.add(change, spiked, "change")
    change = shift_right(flow, change, rule.weight_shift, rule.rounding)
    return fit(flow, rule.weight, flow.sub(w, change, "weight"))


class Lane:
    """The results of one lane, all in registers of the same stage, ``final``."""

    def __init__(self, flow: Flow, results: Sequence[Num]) -> None:
        self._flow, self._results = flow, list(results)
        self.ends = 1 + max(0, *(r.stage for r in results))

    def at(self, stage: int) -> list[Num]:
        """The results in ``stage``, ``ends`` or later."""
        return [self._flow.at(r, stage) for r in self._results]


class Sketch(Flow):
    """Arithmetic built for its stages alone: without tables."""

    def memory(self, name: str, words: list[int], style: str, at: Num, shape: Shape) -> Value:
        return Signal(shape)


def flow_in(m: Module | None, ce: Value) -> Flow:
    """Arithmetic in ``m``, or a sketch of it."""
    return Sketch(scratch(), ce, STAGE_NS) if m is None else Flow(m, ce, STAGE_NS)


def along(m: Module, value: Value, stages: int, name: str, ce: Value | None = None) -> list[Value]:
    """``value`` and, behind it, its copies of each of ``stages`` later cycles."""
    found = [value]
    for stage in range(1, stages + 1):
        held = Signal(len(value), name=f"{name}{stage}")
        if ce is None:
            m.d.sync += held.eq(found[-1])
        else:
            with m.If(ce):
                m.d.sync += held.eq(found[-1])
        found.append(held)
    return found
