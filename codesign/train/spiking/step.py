"""One step of :class:`codesign.neurons.Lif` on tensors, operation for operation, differentiable.

Codes are held as float32, or float64 where float32 would round: every intermediate is an integer
below ``2**24`` (``2**53``), so the values are those of the integer model, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from codesign.errors import UsageError
from codesign.neurons import Leak, Lif, Word
from codesign.neurons.leak import PRODUCTS
from codesign.train.needs import need
from codesign.train.spiking.ste import fit, rounded, scaled
from codesign.train.spiking.surrogate import Fires, Surrogate, fires

torch = need("torch")

States = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """How gradients are taken. ``through_reset``: whether they pass the reset's spike too."""

    surrogate: Surrogate
    slope: float
    through_reset: bool


def mantissa(model: Lif) -> int:
    """Bits that hold every intermediate of a step, if its charge is no wider than its word."""
    bits = model.word.bits + 2 + max(0, model.spike_levels.bit_length() - 1)
    found = [bits, model.word.bits + (model.leak.frac if model.leak.kind in PRODUCTS else 0) + 1]
    for part in (model.synapse, model.adaptation):
        if part is not None:
            frac = part.leak.frac if part.leak.kind in PRODUCTS else 0
            found.append(part.word.bits + max(frac, 2) + 1)
    if model.synapse:
        found.append(model.synapse.word.bits + max(0, model.word.frac - model.synapse.word.frac))
    return max(found)


def dtype_for(model: Lif) -> Any:
    """float32 or float64; ``UsageError`` where neither is exact."""
    bits = mantissa(model)
    if bits > 53:
        raise UsageError(
            f"a step of this neuron needs {bits} bits, float64 holds 53",
            hint="train with a smaller state word or fewer fraction bits of its decay",
        )
    return torch.float32 if bits <= 24 else torch.float64


def decay(leak: Leak, amount: Any, v: Any) -> Any:
    """:meth:`codesign.neurons.Leak.apply` with ``amount`` a tensor of integers."""
    if leak.kind == "none":
        return v
    if leak.kind in PRODUCTS:
        return scaled(v * amount, leak.frac, PRODUCTS[leak.kind])
    if leak.kind == "linear":
        return torch.sign(v) * (v.abs() - amount).clamp_min(0)
    lost = rounded(v * torch.exp2(-amount), "floor")
    if leak.kind == "shift_min1":
        lost = torch.where((lost == 0) & (v != 0), lost - lost.detach() + 1, lost)
    return v - lost


def step(model: Lif, p: States, shape: Shape, x: Any, old: States) -> tuple[Any, States]:
    """Outputs and new states, all codes. ``p``: the model's parameters as tensors that broadcast
    against ``x``, by the names of :meth:`codesign.neurons.Lif.parameters`; ``x``: input codes at
    ``model.input_frac``. The order is that of the model's description."""
    return _Step(model, p, shape).take(x, old)


class _Step:
    def __init__(self, model: Lif, p: States, shape: Shape) -> None:
        self.m, self.p, self.shape = model, p, shape
        self.late = model.reset_timing != "same"

    def take(self, x: Any, old: States) -> tuple[Any, States]:
        m, new = self.m, dict(old)
        theta = self.p["theta"] + old["a"] if m.adaptation else self.p["theta"]
        before = self._fired(old) if self.late else None
        charge = self._charge(x, old, new, before)
        v = fit(m.word, self._integrate(old["v"], charge, before, theta))
        free = (old["r"] == 0).to(v.dtype) if m.refractory else None
        if free is not None and m.refractory_mode == "hold":
            v = torch.where(free > 0, v, fit(m.word, self._reset(old["v"], before, theta)))
        spikes = self._spikes(v, theta)
        spikes = spikes if free is None else spikes * free
        if not self.late:
            v = self._early(v, spikes, theta, free, new)
        elif m.reset_timing == "both":
            v = fit(m.word, self._reset(v, spikes - before, theta))
        new["v"] = v
        self._bookkeeping(spikes, old, new)
        return (v if m.output == "membrane" else spikes), new

    def _early(self, v: Any, spikes: Any, theta: Any, free: Any, new: States) -> Any:
        """Step 6: what a reset in the same step does."""
        m = self.m
        if m.reset != "none":
            v = fit(m.word, self._reset(v, spikes, theta))
        if m.reset_vs_leak == "before":
            lower = decay(m.leak, self.p["leak"], v)
            held = free is not None and m.refractory_mode == "hold"
            v = torch.where(free > 0, lower, v) if held else lower
        if m.synapse and m.synapse.reset:
            new["i"] = torch.where(spikes > 0, torch.zeros_like(v), new["i"])
        return v

    def _bookkeeping(self, spikes: Any, old: States, new: States) -> None:
        m = self.m
        if "s" in old:
            new["s"] = spikes
        if m.adaptation:
            a = m.adaptation
            lower = decay(a.leak, self.p["adaptation_leak"], old["a"])
            new["a"] = fit(a.word, lower + self.p["jump"] * spikes)
        if m.refractory:
            start = torch.full_like(old["r"], m.refractory)
            new["r"] = torch.where(spikes > 0, start, (old["r"] - 1).clamp_min(0)).detach()

    def _fired(self, old: States) -> Any:
        if "s" in old:
            return old["s"]
        return self._spikes(old["v"], self.p["theta"])

    def _integrate(self, v: Any, charge: Any, before: Any, theta: Any) -> Any:
        m, early, old = self.m, self.late and self.m.reset_vs_input == "before", v
        if early and m.reset_vs_leak == "before":
            v = self._after_add(self._reset(v, before, theta))
        if m.reset_vs_leak == "instead":
            kept = self._after_add(self._reset(v, before, theta))
            v = torch.where(before > 0, kept, decay(m.leak, self.p["leak"], v))
        elif self.late or m.reset_vs_leak == "after":
            v = decay(m.leak, self.p["leak"], v)
        if early and m.reset_vs_leak == "after":
            v = self._after_add(self._reset(v, before, theta))
        if m.word.overflow == "sat_change":
            v = old + fit(m.word, fit(m.word, v - old + charge) + self.p["bias"])
        else:
            v = self._after_add(v + charge + self.p["bias"])
        if self.late and not early:
            v = self._reset(v, before, theta)
        return v

    def _after_add(self, v: Any) -> Any:
        word: Word = self.m.word
        return v.clamp(word.lo, word.hi) if word.overflow == "sat_add" else v

    def _charge(self, x: Any, old: States, new: States, before: Any) -> Any:
        m, syn = self.m, self.m.synapse
        if syn is None:
            return scaled(x, m.input_frac - m.word.frac, m.rounding)
        given = scaled(x, m.input_frac - syn.word.frac, m.rounding)
        held = old["i"]
        if syn.reset and before is not None:
            held = torch.where(before > 0, torch.zeros_like(held), held)
        leak = self.p["synapse_leak"]
        if syn.order == "leaked":
            new["i"] = decay(syn.leak, leak, fit(syn.word, held + given))
        else:
            new["i"] = fit(syn.word, decay(syn.leak, leak, held) + given)
        seen = held if syn.order == "previous" else new["i"]
        return scaled(seen, syn.word.frac - m.word.frac, m.rounding)

    def _spikes(self, v: Any, theta: Any) -> Any:
        ge, shape, slope = self.m.compare == "ge", self.shape.surrogate, self.shape.slope
        if not torch.is_grad_enabled():
            return sum(fires(v, level * theta, ge) for level in range(1, self.m.spike_levels + 1))
        if self.m.spike_levels == 1:
            return Fires.apply(v, theta, ge, shape, slope)
        levels = range(1, self.m.spike_levels + 1)
        return sum(Fires.apply(v, level * theta, ge, shape, slope) for level in levels)

    def _reset(self, v: Any, spikes: Any, theta: Any) -> Any:
        if self.m.reset == "none" or spikes is None:
            return v
        if not self.shape.through_reset:
            spikes = spikes.detach()
        if self.m.reset == "subtract":
            return v - spikes * theta
        value = self.p["reset_value"] if self.m.reset == "value" else torch.zeros_like(v)
        if self.shape.through_reset and self.m.spike_levels == 1:
            return v + spikes * (value - v)
        return torch.where(spikes > 0, value.to(v.dtype), v)
