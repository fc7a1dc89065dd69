"""Neurons once more, written from /work/shared/reference/spiking.md and the docstrings alone: a
second opinion on codesign.neurons.

Numbers are Python integers, or wires of Amaranth, whose arithmetic never overflows either, or
arrays of int64 where words are small: the same text is the scalar model of random tests, that of
all states and inputs at once in exhaustive ones, and the specification of formal proofs.
Parameters are those of one neuron: ``channel`` picks it, a number or a function of each vector.
"""

from contextlib import contextmanager

import numpy as np
from amaranth.hdl import Array, Const, Mux, Signal, Value

from codesign.neurons import Alpha, Egru, Lif, Snu

_circuit, _product = None, None


@contextmanager
def wires_in(m, product=None):
    """Results become wires of module ``m``: one that is used twice is not computed twice.
    ``product``: makes what a leak multiplies."""
    global _circuit, _product
    _circuit, _product = m, product
    try:
        yield
    finally:
        _circuit = _product = None


def wire(x):
    """``x``, named if it is an expression of a circuit."""
    if _circuit is None or not isinstance(x, Value) or isinstance(x, Signal | Const):
        return x
    named = Signal(x.shape(), name="spec")
    _circuit.d.comb += named.eq(x)
    return named


def select(condition, then, other):
    """``then`` where the condition holds."""
    if isinstance(condition, Value):
        return wire(Mux(condition, then, other))
    if isinstance(condition, np.ndarray):
        return np.where(condition, then, other)
    return then if condition else other


def flag(condition):
    """A comparison's outcome as a number."""
    if isinstance(condition, np.ndarray):
        return condition.astype(np.int64)
    return condition if isinstance(condition, Value) else int(condition)


def limit(x, lo, hi):
    """``x`` between ``lo`` and ``hi``."""
    x = wire(x)
    return select(x > hi, hi, select(x < lo, lo, x))


def divide(x, bits, rounding):
    """``x / 2**bits``."""
    x = wire(x)
    if bits <= 0:
        return x * (1 << -bits)
    unit = 1 << bits
    if rounding in ("exact", "floor"):
        return x >> bits
    if rounding == "trunc0":
        return select(x >= 0, x >> bits, -((-x) >> bits))
    down = wire(x >> bits)
    rest = wire(x - down * unit)
    up = select(rest * 2 == unit, down & 1, flag(rest * 2 > unit))
    return down + up


def hold(word, x):
    """What a word makes of ``x``."""
    x = wire(x)
    size = 1 << word.bits
    if word.overflow != "wrap":
        top = size // 2 - 1 if word.signed else size - 1
        low = (-top if word.overflow == "sat_narrow" else -top - 1) if word.signed else 0
        return limit(x, low, top)
    if not word.signed:
        return x & (size - 1)
    half = size // 2
    return ((x + half) & (size - 1)) - half


def entry(vector, channel):
    if callable(channel):
        return channel(vector)
    return int(vector[channel % len(vector)])


def decay(leak, v, channel):
    """What a leak leaves of ``v``."""
    v = wire(v)
    amount = entry(leak.amount, channel)
    if leak.kind == "none":
        return v
    if leak.kind == "linear":
        down, up = wire(v - amount), wire(v + amount)
        return select(v > 0, select(down > 0, down, 0), select(up < 0, up, 0))
    if leak.kind == "shift_floor":
        return v - (v >> amount)
    if leak.kind == "shift_min1":
        part = wire(v >> amount)
        return v - select(part == 0, flag(v != 0), part)
    rounding = {"mul_floor": "floor", "mul_trunc0": "trunc0", "mul_round": "half_even"}[leak.kind]
    return divide(_product(v, amount) if _product else v * amount, leak.frac, rounding)


class LifSpec:
    """A step of one neuron of a :class:`codesign.neurons.Lif`."""

    def __init__(self, model, channel=0):
        self.model, self.channel = model, channel
        self.theta0 = entry(model.theta, channel)

    def count(self, v, theta):
        v, theta, total = wire(v), wire(theta), 0
        for level in range(1, self.model.spike_levels + 1):
            passed = v > theta * level if self.model.compare == "gt" else v >= theta * level
            total = total + flag(passed)
        return wire(total)

    def cleared(self, v, spikes, theta):
        """The membrane after its reset."""
        model = self.model
        if model.reset == "subtract":
            return v - spikes * theta
        target = {"zero": 0, "value": entry(model.reset_value, self.channel), "none": v}
        return select(spikes != 0, target[model.reset], v)

    def each(self, x):
        """What is done after each of several additions."""
        return hold(self.model.word, x) if self.model.word.overflow == "sat_add" else x

    def synapse(self, x, i, before):
        """(new current, what the membrane sees of it at its own scale)."""
        model, syn = self.model, self.model.synapse
        if syn is None:
            return None, divide(x, model.input_frac - model.word.frac, model.rounding)
        x = divide(x, model.input_frac - syn.word.frac, model.rounding)
        if syn.reset and model.reset_timing != "same":
            i = select(before != 0, 0, i)
        if syn.order == "leaked":
            new = decay(syn.leak, hold(syn.word, i + x), self.channel)
        else:
            new = hold(syn.word, decay(syn.leak, i, self.channel) + x)
        seen = i if syn.order == "previous" else new
        return new, divide(seen, syn.word.frac - model.word.frac, model.rounding)

    def charged(self, v, given, before, theta):
        """Leak, charge and the resets that come with them."""
        model, bias = self.model, entry(self.model.bias, self.channel)
        late = model.reset_timing != "same"
        steps = {"leak": lambda u: decay(model.leak, u, self.channel)}
        steps["reset"] = lambda u: self.cleared(u, before, theta)
        if model.reset_vs_leak == "instead":
            u = select(before != 0, self.each(steps["reset"](v)), steps["leak"](v))
        elif not late:
            u = steps["leak"](v) if model.reset_vs_leak == "after" else v
        elif model.reset_vs_input == "after":
            return steps["reset"](self.each(steps["leak"](v) + given + bias))
        elif model.reset_vs_leak == "before":
            u = steps["leak"](self.each(steps["reset"](v)))
        else:
            u = self.each(steps["reset"](steps["leak"](v)))
        if model.word.overflow == "sat_change":
            change = hold(model.word, hold(model.word, u - v + given) + bias)
            return v + change
        return self.each(u + given + bias)

    def step(self, x, old):
        """(output, new states) from the input and the states by name."""
        model, new = self.model, {}
        late = model.reset_timing != "same"
        theta = self.theta0 + old["a"] if model.adaptation else self.theta0
        before = 0
        if late:
            before = old["s"] if "s" in old else self.count(old["v"], self.theta0)
        new_i, given = self.synapse(x, old.get("i"), before)
        v = hold(model.word, self.charged(old["v"], given, before, theta))
        free = flag(old["r"] == 0) if model.refractory else 1
        frozen = model.refractory > 0 and model.refractory_mode == "hold"
        if frozen:
            still = self.cleared(old["v"], before, theta) if late else old["v"]
            v = select(free == 0, hold(model.word, still), v)
        spikes = select(free == 0, 0, self.count(v, theta)) if model.refractory else None
        spikes = self.count(v, theta) if spikes is None else spikes
        if model.reset_timing == "same":
            v = hold(model.word, self.cleared(v, spikes, theta))
            if model.reset_vs_leak == "before":
                less = decay(model.leak, v, self.channel)
                v = select(free == 0, v, less) if frozen else less
        if model.reset_timing == "both":
            v = hold(model.word, v - theta * (spikes - before))
        new["v"] = v
        if model.synapse:
            clear = model.synapse.reset and not late
            new["i"] = select(spikes != 0, 0, new_i) if clear else new_i
        if model.adaptation:
            jump = entry(model.adaptation.jump, self.channel)
            left = decay(model.adaptation.leak, old["a"], self.channel)
            new["a"] = hold(model.adaptation.word, left + jump * spikes)
        if "s" in old:
            new["s"] = spikes
        if model.refractory:
            counted = select(old["r"] == 0, 0, old["r"] - 1)
            new["r"] = select(spikes != 0, model.refractory, counted)
        return (v if model.output == "membrane" else spikes), new


def entry_at(table, x, frac, rounding):
    """A table's entry."""
    at = limit(divide(x, frac - table.in_frac, rounding), table.lo, table.hi)
    if isinstance(x, Value):
        return Array(table.codes.tolist())[(at - table.lo).as_unsigned()]
    if isinstance(x, np.ndarray):
        return table.codes[at - table.lo]
    return int(table.codes[at - table.lo])


class SnuSpec:
    """A step of one neuron of a :class:`codesign.neurons.Snu`; inputs in the model's order."""

    def __init__(self, model, channel=0):
        self.model, self.channel = model, channel

    def step(self, *given):
        model, at = self.model, self.channel
        *given, old = given
        x = dict(zip(model.inputs, given, strict=True))
        whole = 1 << (model.soft.frac if model.soft else 0)
        new = {}
        kept = divide(old["s"] * (whole - old["y"]), whole.bit_length() - 1, model.rounding)
        x["current"] = divide(x["current"], model.input_frac - model.word.frac, model.rounding)
        s = decay(model.leak, kept, at) + x["current"]
        if model.g == "relu":
            s = select(s < 0, 0, s)
        s = new["s"] = hold(model.word, s)
        threshold = entry(model.theta, at)
        if model.somatic:
            own = model.somatic
            driven = x["adapt"] * entry(own.gain, at)
            drop = own.input_frac + own.gain_frac - own.word.frac
            b = decay(own.leak, old["b"], at) + divide(driven, drop, model.rounding)
            b = new["b"] = hold(own.word, b)
            drop = own.word.frac + own.beta_frac - model.word.frac
            threshold = threshold - divide(b * entry(own.beta, at), drop, model.rounding)
        if model.soft:
            y = entry_at(model.soft, s - threshold, model.word.frac, model.rounding)
        else:
            y = flag(s > threshold if model.compare == "gt" else s >= threshold)
        new["y"], out = y, y
        if model.axonic:
            own = model.axonic
            out = y * entry_at(own.table, x["gate"], own.input_frac, model.rounding)
        return out, new


class EgruSpec:
    """A step of one neuron of a :class:`codesign.neurons.Egru`."""

    def __init__(self, model, channel=0):
        self.model, self.theta = model, entry(model.theta, channel)

    def step(self, update, reset, candidate, recurrent, old):
        model, how = self.model, self.model.rounding
        z = entry_at(model.sigma, update, model.fracs[0], how)
        r = entry_at(model.sigma, reset, model.fracs[1], how)
        drop = model.sigma.frac + model.fracs[3] - model.tau.in_frac
        inner = divide(candidate, model.fracs[2] - model.tau.in_frac, how)
        inner = inner + divide(r * recurrent, drop, how)
        g = entry_at(model.tau, inner, model.tau.in_frac, how)
        whole = 1 << model.sigma.frac
        c = hold(model.word, divide(z * old["h"] + (whole - z) * g, model.sigma.frac, how))
        event = c > self.theta if model.compare == "gt" else c >= self.theta
        return select(event, c, 0), {"h": select(event, c - self.theta, c)}


class AlphaSpec:
    """A step of one neuron of a :class:`codesign.neurons.Alpha`."""

    def __init__(self, model, channel=0):
        self.model, self.channel = model, channel
        self.theta = entry(model.theta, channel)

    def fired(self, v):
        return flag(v > self.theta if self.model.compare == "gt" else v >= self.theta)

    def step(self, x, old):
        model, at = self.model, self.channel
        x = divide(x, model.input_frac - model.synapse.frac, model.rounding)
        e = decay(model.rise, old["e"], at) + x
        h = decay(model.fall, old["h"], at) - x
        drop = model.gain_frac + model.synapse.frac - model.word.frac
        v = divide((e + h) * entry(model.gain, at), drop, model.gain_rounding)
        if model.reset != "none":
            takes = model.reset == "subtract"
            reset = (e - self.theta, 0, v + old["h"]) if takes else (0, 0, 0)
            before = self.fired(old["v"])
            e, h, v = (select(before != 0, r, u) for r, u in zip(reset, (e, h, v), strict=True))
        v = hold(model.word, v)
        new = {"e": hold(model.synapse, e), "h": hold(model.synapse, h)}
        if model.reset != "none":
            new["v"] = v
        return (v if model.output == "membrane" else self.fired(v)), new


SPECS = {Lif: LifSpec, Snu: SnuSpec, Egru: EgruSpec, Alpha: AlphaSpec}


def spec_of(model, channel=0):
    """The specification of a model."""
    return SPECS[type(model)](model, channel)
