"""Spiking neural units: codesign.neurons.Snu as a cell."""

from codesign.hdl.neurons.cell import Cell, Site
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.neurons.parts import fit, leak, read, shift_right
from codesign.neurons import Snu


class SnuCell(Cell):
    """One step; the order of things is that of :class:`codesign.neurons.Snu`.

    Where y is a spike the product with ``1 - y`` is a gate, and the loop is a leak, a sum and a
    comparison; a soft y costs the loop a multiplier and a memory.
    """

    def __init__(self, model: Snu) -> None:
        self.model = model

    def build(self, site: Site) -> None:
        model = self.model
        level = self._adapted(site)
        x = site.input("current")
        drop = model.input_frac - model.word.frac
        charge = site.registered(shift_right(site, x, drop, model.rounding))
        stage = max(charge.stage, 1)
        s = site.within(self._charged(site, charge, stage), model.word.lo, model.word.hi)
        theta = site.parameter("theta", model.theta)
        if model.soft is None and level.constant:
            y = site.greater(s, theta, model.compare == "ge", "spike")
        else:
            above = site.sub(site.add(s, level, "moved"), theta, "level")
            if model.soft is None:
                y = site.greater(above, constant(0), model.compare == "ge", "spike")
            else:
                y = read(site, model.soft, above, model.word.frac, model.rounding)
        site.write("s", s)
        site.write("y", y)
        site.give(self._gated(site, y))

    def _charged(self, site: Site, charge: Num, stage: int) -> Num:
        """The new s."""
        model = self.model
        s, y = site.state("s", stage), site.state("y", stage)
        if model.soft is None:
            kept = site.mux(y, constant(0), s, "kept")
        else:
            y = site.within(y, 0, model.y_hi)
            off = site.sub(constant(1 << model.y_frac), y, "off")
            kept = shift_right(site, site.mul(s, off, "kept"), model.y_frac, model.rounding)
            kept = site.within(kept, min(model.word.lo, 0), model.word.hi)
        amount = site.parameter("leak", model.leak.amount)
        total = site.add(leak(site, model.leak, amount, kept), charge, "charged")
        if model.g == "relu":
            total = site.mux(site.negative(total), constant(0), total, "rectified")
            total = site.within(total, 0, total.hi)
        return fit(site, model.word, total)

    def _adapted(self, site: Site) -> Num:
        """By how much this step's b moves the threshold."""
        model, own = self.model, self.model.somatic
        if own is None:
            return constant(0)
        gain, beta = site.parameter("gain", own.gain), site.parameter("beta", own.beta)
        driven = site.mul(site.input("adapt"), gain, "driven")
        drop = own.input_frac + own.gain_frac - own.word.frac
        driven = site.registered(shift_right(site, driven, drop, model.rounding))
        b = site.state("b", max(driven.stage, 1))
        left = leak(site, own.leak, site.parameter("somatic_leak", own.leak.amount), b)
        b = fit(site, own.word, site.add(left, driven, "b"))
        site.write("b", b)
        drop = own.word.frac + own.beta_frac - model.word.frac
        return shift_right(site, site.mul(b, beta, "beta_b"), drop, model.rounding)

    def _gated(self, site: Site, y: Num) -> Num:
        """What leaves."""
        model = self.model
        if model.axonic is None:
            return y
        own = model.axonic
        gate = read(site, own.table, site.input("gate"), own.input_frac, model.rounding)
        return site.mul(y, gate, "gated")
