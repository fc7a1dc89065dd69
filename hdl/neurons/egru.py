"""The event-based gated recurrent unit: codesign.neurons.Egru as a cell."""

from codesign.hdl.neurons.cell import Cell, Site
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.neurons.parts import fit, read, shift_right
from codesign.neurons import Egru


class EgruCell(Cell):
    """One step; gates and candidate lie before the loop, which is ``z * h``, a sum, a comparison
    and a difference."""

    def __init__(self, model: Egru) -> None:
        self.model = model

    def build(self, site: Site) -> None:
        model = self.model
        z = read(site, model.sigma, site.input("update"), model.fracs[0], model.rounding)
        off = site.sub(constant(model.one), z, "off")
        new = site.registered(site.mul(off, self._candidate(site), "new"))
        h = site.state("h", max(new.stage, z.stage, 1))
        mixed = site.add(site.mul(z, h, "kept"), new, "mixed")
        c = shift_right(site, mixed, model.sigma.frac, model.rounding)
        c = fit(site, model.word, c)
        theta = site.parameter("theta", model.theta)
        event = site.greater(c, theta, model.compare == "ge", "event")
        # An event means c >= theta >= 0: what is left is not below zero.
        left = site.sub(c, theta, "left")
        left = site.within(left, min(0, left.hi), left.hi)
        site.write("h", site.mux(event, left, c, "h"))
        site.give(site.mux(event, site.within(c, 0, max(c.hi, 0)), constant(0), "y"))

    def _candidate(self, site: Site) -> Num:
        """g."""
        model = self.model
        r = read(site, model.sigma, site.input("reset"), model.fracs[1], model.rounding)
        drop = model.sigma.frac + model.fracs[3] - model.tau.in_frac
        recurrent = site.mul(r, site.input("recurrent"), "gated")
        recurrent = shift_right(site, recurrent, drop, model.rounding)
        drop = model.fracs[2] - model.tau.in_frac
        own = shift_right(site, site.input("candidate"), drop, model.rounding)
        at = site.add(own, recurrent, "candidate_at")
        return read(site, model.tau, at, model.tau.in_frac, model.rounding)
