"""The leaky integrate-and-fire family: codesign.neurons.Lif as a cell."""

import numpy as np

from codesign.hdl.neurons.cell import Cell, Site
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.neurons.parts import after_add, fit, leak, shift_right
from codesign.neurons import Lif


class LifCell(Cell):
    """One step; the order of things is that of :class:`codesign.neurons.Lif`.

    Where spikes reset in their own step the loop of the membrane is: lose the leak, add the
    charge, compare, reset. The comparison does not wait for the clamp where it cannot matter, and
    what a reset leaves is computed beside the comparison and chosen by it. At 16 bits a shift leak,
    a charge that cannot overflow, comparison and choice are 1.2 + (2.2 + 0.7) + 2.2 + 2.2 + 1.2 =
    9.7 ns by the model of hdl/pipeline.py (chains in a row overlap): one cycle of 100 MHz. Where
    the sum has to be clamped before a subtraction the loop takes two.
    """

    def __init__(self, model: Lif) -> None:
        self.model = model

    def build(self, site: Site) -> None:
        model = self.model
        self.site = site
        self.amount = site.parameter("leak", model.leak.amount)
        self.theta = site.parameter("theta", model.theta)
        charge = self._charge()
        stage = charge.stage
        self._read_rest(stage)
        raw = self._integrate(charge)
        v = fit(site, model.word, raw)
        holds = model.refractory_mode == "hold" and model.refractory > 0
        if holds:
            held = self._reset(self.v, self.before, passed=not model.remembers)
            v = site.mux(self.free, v, fit(site, model.word, held), "held_or_charged")
        spikes = self._spikes(raw if self._clamps_in_vain() else v)
        if model.refractory:
            spikes = site.mux(self.free, spikes, constant(0), "spikes")
        if not model.late:
            v = fit(site, model.word, self._reset(v, spikes, passed=True))
            if model.reset_vs_leak == "before":
                left = leak(site, model.leak, self.amount, v)
                v = site.mux(self.free, left, v, "leaked_or_held") if holds else left
        elif model.reset_timing == "both":
            back = site.mul(self.before, self.level, "back")
            taken = site.sub(site.mul(spikes, self.level, "taken"), back, "taken")
            v = fit(site, model.word, site.sub(v, taken, "rest"))
        self._finish(v, spikes)

    def _clamps_in_vain(self) -> bool:
        """Whether a sum passes every threshold exactly where, clamped to the word, it does: the
        comparison then need not wait for the clamp."""
        word, most = self.model.word, self.model.spike_levels * self.level.hi
        equal = int(self.model.compare == "ge")
        inside = word.lo + equal <= self.level.lo and most <= word.hi - 1 + equal
        return word.overflow != "wrap" and self.level.lo >= 0 and inside

    # States.

    def _read_v(self, stage: int) -> None:
        """The membrane, the threshold it is compared with, and what fired in the step before."""
        site, model = self.site, self.model
        stage = max(stage, 1)
        self.v = site.state("v", stage)
        self.level = self.theta
        if model.adaptation:
            self.a = site.state("a", stage)
            self.level = site.add(self.a, self.theta, "threshold")
        self.before = constant(0)
        if model.late and model.remembers:
            self.before = site.state("s", stage)
        elif model.late:
            self.before = self._spikes(self.v)

    def _read_rest(self, stage: int) -> None:
        site, model = self.site, self.model
        if not hasattr(self, "v"):
            self._read_v(stage)
        self.free = constant(1)
        if model.refractory:
            self.r = site.state("r", site.reads["v"])
            self.free = site.logic(lambda r: r == 0, self.r, name="free")

    def _finish(self, v: Num, spikes: Num) -> None:
        site, model = self.site, self.model
        fired = site.any(spikes, "fired")
        if model.synapse:
            i = self.i
            if model.synapse.reset and not model.late:
                i = site.mux(fired, constant(0), i, "cleared")
            site.write("i", i)
        site.write("v", v)
        if model.remembers:
            site.write("s", spikes)
        if model.adaptation:
            a, jump = model.adaptation, site.parameter("jump", model.adaptation.jump)
            amount = site.parameter("adaptation_leak", a.leak.amount)
            left = leak(site, a.leak, amount, self.a)
            site.write("a", fit(site, a.word, site.add(left, site.mul(spikes, jump, "rise"))))
        if model.refractory:
            one = site.sub(self.r, constant(1), "waited")
            less = site.mux(self.free, constant(0), site.within(one, 0, one.hi), "left")
            site.write("r", site.mux(fired, constant(model.refractory), less, "wait"))
        site.give(v if model.output == "membrane" else spikes)

    # Arithmetic.

    def _charge(self) -> Num:
        """What the membrane receives, in a register: the loop begins behind it."""
        site, model, syn = self.site, self.model, self.model.synapse
        x = site.input("current")
        self.bias = site.parameter("bias", model.bias)
        if syn is None:
            given = shift_right(site, x, model.input_frac - model.word.frac, model.rounding)
            return site.registered(self._biased(given))
        given = shift_right(site, x, model.input_frac - syn.word.frac, model.rounding)
        given = site.registered(given)
        stage = max(given.stage, 1)
        i = site.state("i", stage)
        if syn.reset and model.late:
            self._read_v(stage)
            i = site.mux(site.any(self.before), constant(0), i, "cleared")
        amount = site.parameter("synapse_leak", syn.leak.amount)
        if syn.order == "leaked":
            self.i = leak(site, syn.leak, amount, fit(site, syn.word, site.add(i, given, "held")))
        else:
            left = leak(site, syn.leak, amount, i)
            self.i = fit(site, syn.word, site.add(left, given, "current"))
        seen = i if syn.order == "previous" else self.i
        seen = shift_right(site, seen, syn.word.frac - model.word.frac, model.rounding)
        charge = self._biased(seen)
        return charge if hasattr(self, "v") else site.registered(charge)

    def _biased(self, charge: Num) -> Num:
        """The bias goes along, unless the word looks at the sum before it."""
        if self.model.word.overflow == "sat_change":
            return charge
        return self.site.add(charge, self.bias, "charge")

    def _integrate(self, charge: Num) -> Num:
        """Leak, charge, and the reset that comes with them; not yet what the word holds."""
        site, model = self.site, self.model
        word, v = model.word, self.v
        early = model.late and model.reset_vs_input == "before"
        known = not model.remembers
        if early and model.reset_vs_leak == "before":
            v = after_add(site, word, self._reset(v, self.before, passed=known))
        if model.reset_vs_leak == "instead":
            less = after_add(site, word, self._reset(v, self.before, passed=known))
            left = leak(site, model.leak, self.amount, v)
            v = site.mux(site.any(self.before), less, left, "reset_or_leaked")
        elif model.late or model.reset_vs_leak == "after":
            v = leak(site, model.leak, self.amount, v)
        if early and model.reset_vs_leak == "after":
            v = after_add(site, word, self._reset(v, self.before, passed=False))
        if word.overflow == "sat_change":
            return self._changed(v, charge)
        v = after_add(site, word, site.add(v, charge, "charged"))
        if model.late and not early:
            v = self._reset(v, self.before, passed=False)
        return v

    def _changed(self, left: Num, charge: Num) -> Num:
        """The membrane and what changes it, which is held to the word after each addition."""
        site, word = self.site, self.model.word
        change = site.add(site.sub(left, self.v, "lost"), charge, "change")
        change = site.add(fit(site, word, change), self.bias, "change")
        return site.add(self.v, fit(site, word, change), "changed")

    def _spikes(self, v: Num) -> Num:
        """How many multiples of the threshold ``v`` has passed."""
        site, model = self.site, self.model
        equal = model.compare == "ge"
        marks = []
        for n in range(1, model.spike_levels + 1):
            if n == 1 or model.adaptation:
                level = site.mul(self.level, constant(n), "level")
            else:
                level = site.parameter(f"theta_{n}", n * np.asarray(model.theta))
            marks.append(site.greater(v, level, equal))
        count = site.sum(marks, "count")
        return site.within(count, 0, model.spike_levels)

    def _reset(self, v: Num, spikes: Num, passed: bool) -> Num:
        """``passed``: ``v`` is what ``spikes`` was counted of, so what a subtraction leaves
        lies above the threshold's zero."""
        site, model = self.site, self.model
        if model.reset == "none":
            return v
        fired = site.any(spikes, "fired")
        if fired.constant and not fired.lo:
            return v
        if model.reset != "subtract":
            value = model.reset_value if model.reset == "value" else np.zeros(1, np.int64)
            return site.mux(fired, site.parameter("reset_value", value), v, "reset")
        taken = self.level if model.spike_levels == 1 else site.mul(spikes, self.level, "taken")
        rest = site.sub(v, taken, "rest")
        if passed and (model.spike_levels == 1 or self.level.lo >= 0):
            rest = site.within(rest, 0, rest.hi)
        return site.mux(fired, rest, v, "reset")
