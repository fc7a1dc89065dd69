"""Two synaptic currents whose difference is the membrane: codesign.neurons.Alpha as a cell."""

from codesign.hdl.neurons.cell import Cell, Site
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.neurons.parts import fit, leak, shift_right
from codesign.neurons import Alpha


class AlphaCell(Cell):
    """One step; the order of things is that of :class:`codesign.neurons.Alpha`.

    The membrane is made of the new currents; what comes back is whether the one before passed its
    threshold, which resets all three. A product lies between currents and membrane, so the old
    membrane is read half way along it: the currents wait for that half, the membrane for the other.
    """

    def __init__(self, model: Alpha) -> None:
        self.model = model

    def build(self, site: Site) -> None:
        model = self.model
        x = site.input("current")
        given = shift_right(site, x, model.input_frac - model.synapse.frac, model.rounding)
        given = site.registered(given)
        first = max(given.stage, 1)
        old_e, old_h = site.state("e", first), site.state("h", first)
        rise, fall = (site.parameter(n, model.parameters()[n]) for n in ("rise", "fall"))
        e = site.add(leak(site, model.rise, rise, old_e), given, "e")
        h = site.sub(leak(site, model.fall, fall, old_h), given, "h")
        v = self._membrane(site, e, h)
        theta = site.parameter("theta", model.theta)
        if model.reset != "none":
            old_v = site.state("v", (first + max(v.stage, first) + 1) // 2)
            before = self._fires(site, old_v, theta, "before")
            e, h, v = self._reset(site, before, (e, h, v), old_h)
        v = fit(site, model.word, v)
        site.write("e", fit(site, model.synapse, e))
        site.write("h", fit(site, model.synapse, h))
        if model.reset != "none":
            site.write("v", v)
        site.give(v if model.output == "membrane" else self._fires(site, v, theta, "spike"))

    def _membrane(self, site: Site, e: Num, h: Num) -> Num:
        model = self.model
        gain = site.parameter("gain", model.gain)
        scaled = site.mul(site.add(e, h, "both"), gain, "scaled")
        shift = model.gain_frac + model.synapse.frac - model.word.frac
        return shift_right(site, scaled, shift, model.gain_rounding)

    def _reset(
        self, site: Site, before: Num, new: tuple[Num, Num, Num], old_h: Num
    ) -> tuple[Num, Num, Num]:
        """e, h and v of this step where the step before fired."""
        zero, (e, h, v) = constant(0), new
        if self.model.reset == "zero":
            e_reset, v_reset = zero, zero
        else:
            # the theta of the membrane, as a current: their scales are one
            e_reset = site.sub(e, site.parameter("theta", self.model.theta), "less")
            v_reset = site.add(v, old_h, "raised")
        return (
            site.mux(before, e_reset, e, "e_reset"),
            site.mux(before, zero, h, "h_reset"),
            site.mux(before, v_reset, v, "v_reset"),
        )

    def _fires(self, site: Site, v: Num, theta: Num, name: str) -> Num:
        return site.greater(v, theta, self.model.compare == "ge", name)
