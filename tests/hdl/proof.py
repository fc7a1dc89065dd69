"""Formal proofs with yosys: one step of a cell equals its specification, for every state, every
input, and every parameter between the least and the greatest of the model's channels. The cell is
proven as it is built, with its pipeline registers. Parameters that are alike in all channels are
constants of the circuit, and of the proof.

In each cycle a free input, a free word of each state and free parameters enter. The cell gets each
of them in the stage in which it reads it; the specification, which has no registers, gets all of
them at once, and its results wait until the cell has computed the same. ``wrong`` says that they
are not equal; that it is 0 is proven for the first cycle in which every register has been filled,
from any contents before. What enters in other cycles is free too, so a register too few or too many
would show.

Yosys unfolds both into and-inverter graphs; its ABC unrolls the cycles, and finds and merges equal
parts of cell and specification from the inputs on, so that wide words are no harder than narrow
ones as long as both compute something in between that is equal.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pyosys
from amaranth.back import rtlil
from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Out

from codesign.hdl.neurons.array import cell_of
from codesign.hdl.neurons.cell import Site, Sketch, parameter_at
from codesign.hdl.neurons.flow import Flow
from codesign.hdl.neurons.number import Num, constant
from codesign.hdl.pipeline import STAGE_NS
from codesign.hdl.stream import Component, range_shape
from tests.hdl.aig import any_one
from tests.neurons.spec import spec_of, wires_in

#: Names of products that are any number in their range, the same one on both sides, provided that
#: both sides multiply the same.
CUT = ("decayed",)


class ProofSketch(Sketch):
    """A cell's stages, and the ranges of the products that are cut."""

    def __init__(self, *args):
        super().__init__(*args)
        self.cuts = []

    def mul(self, a, b, name="product"):
        product = super().mul(a, b, name)
        if name in CUT and not product.constant:
            self.cuts.append((product.lo, product.hi))
        return product


class ProofSite(Site):
    """A cell between free inputs."""

    def __init__(self, miter, m):
        super().__init__(miter.model, miter.ranges, m, Const(1), miter.budget)
        self._miter = miter

    def of_lane(self, name):
        return self.vectors[name]

    def input_value(self, name):
        return self._miter.given[name]

    def state_value(self, name, stage):
        return self._miter.later(self._miter.given[f"state_{name}"], stage), 1.2

    def mul(self, a, b, name="product"):
        product = super().mul(a, b, name)
        if name not in CUT or product.constant or not self._miter.cuts:
            return product
        place = self.at(a, product.stage)
        number = self._miter.cut(b.parameter or b.lo, place)
        wire = Signal(range_shape(product.lo, product.hi), name="any_product")
        self.m.d.comb += wire.eq(self._miter.later(number, product.stage))
        return replace(product, value=wire)

    def fetch(self, parameter, stage):
        shape = range_shape(parameter.lo, parameter.hi)
        value = Signal(shape, name=f"{parameter.parameter}_{stage}")
        wanted = self._miter.parameter(parameter.parameter)
        self.m.d.comb += value.eq(self._miter.later(wanted, stage))
        return parameter_at(parameter, value, stage)


class Miter(Component):
    """``wrong``: cell and specification differ. ``cell``: what builds the cell, for injected
    faults. ``spec``: makes the object with ``step(inputs, states)`` of a function from a parameter
    vector of the model to the parameter."""

    def __init__(self, model, ranges, *, budget=STAGE_NS, cell=None, spec=None, cut=False):
        self.model, self.budget = model, budget
        self.ranges = dict(zip(model.inputs, ranges, strict=True))
        self._cell = cell or cell_of(model)
        self._spec = spec or (lambda pick: spec_of(model, pick))
        sketch = ProofSketch(model, self.ranges, budget, {s.name: 1.2 for s in model.states})
        cell_of(model).build(sketch)
        self.stages = sketch.stages
        words = {f"state_{s.name}": (s.word.lo, s.word.hi) for s in model.states}
        self.free = {n: v for n, v in model.parameters().items() if v.min() < v.max()}
        amounts = {f"parameter_{n}": (int(v.min()), int(v.max())) for n, v in self.free.items()}
        self.cuts = {f"product{n}": span for n, span in enumerate(sketch.cuts) if cut}
        self.spans = {**amounts, **self.ranges, **words, **self.cuts}
        ports = {name: In(range_shape(*span)) for name, span in self.spans.items()}
        super().__init__({**ports, "wrong": Out(1)})

    def parameter(self, name):
        """What the cell calls ``name``: a parameter, or a multiple of the threshold."""
        if name in self.free:
            return self.given[f"parameter_{name}"]
        level = name.removeprefix("theta_")
        return self.given["parameter_theta"] * int(level)

    def cut(self, amount, factor):
        """A number in place of ``factor``, a number of the cell, times ``amount``."""
        number = self.given[f"product{self._count}"]
        self._count += 1
        self._cut.append((amount, factor, number))
        return number

    def _product(self, factor, amount):
        """The same for the specification, and whether it multiplies the same."""
        key = amount if isinstance(amount, int) else amount.name.removeprefix("any_parameter_")
        found = [n for n, (other, _, _) in enumerate(self._cut) if other == key]
        if not found:
            return factor * amount
        _, other, number = self._cut.pop(found[0])
        self._same.append(self._equal(other, factor))
        return number

    def _picked(self, vector):
        names = [n for n, v in self.free.items() if v is vector]
        assert names or vector.min() == vector.max()
        return self.parameter(names[0]) if names else int(vector[0])

    def later(self, value, cycles):
        """``value`` that many cycles later."""
        for _ in range(cycles):
            held = Signal(value.shape(), reset_less=True, name=f"held_{len(self._m_held)}")
            self._m_held.append(held)
            self._m.d.sync += held.eq(value)
            value = held
        return value

    def elaborate(self, platform):
        m = self._m = Module()
        self._m_held, self._cut, self._same = [], [], []
        self._count = 0
        self.given = {name: self._within(name, *span) for name, span in self.spans.items()}
        site = ProofSite(self, m)
        self._cell.build(site)
        old = {s.name: self.given[f"state_{s.name}"] for s in self.model.states}
        inputs = [self.given[name] for name in self.model.inputs]
        with wires_in(m, self._product):
            out, new = self._spec(self._picked).step(*inputs, old)
        same = [self._equal(site.out, out), *(self._equal(site.next[n], new[n]) for n in old)]
        same += self._same
        agree = Signal(len(same))
        m.d.comb += [agree[n].eq(x) for n, x in enumerate(same)]
        m.d.comb += self.wrong.eq(~agree.all())
        return m

    def _within(self, name, lo, hi):
        """Any number of ``lo..hi``: what a port holds, or ``lo`` where that lies outside."""
        port = getattr(self, name)
        value = Signal(port.shape(), name=f"any_{name}")
        inside = (port >= lo) & (port <= hi)
        self._m.d.comb += value.eq(Mux(inside, port, lo))
        return value

    def _equal(self, found, wanted):
        """Whether a result of the cell is what the specification says, in the last stage."""
        spec = Signal(Value.cast(wanted).shape(), name="specified")
        self._m.d.comb += spec.eq(wanted)
        last = self.stages - 1
        return self.later(Value.cast(found.value), last - found.stage) == self.later(spec, last)


class Product(Component):
    """``wrong``: a cell's product of a signed word of ``bits`` bits by the constant ``factor`` is
    not ``of`` times the word."""

    def __init__(self, bits, factor, of=None):
        half = 1 << (bits - 1)
        self.span, self.factor, self.of = (-half, half - 1), factor, factor if of is None else of
        self.stages = self._product(Signal(bits), Module()).stage + 1
        super().__init__({"word": In(range_shape(*self.span)), "wrong": Out(1)})

    def _product(self, word, m):
        m._MustUse__silence = True
        flow = Flow(m, Const(1), STAGE_NS)
        return flow.mul(Num(word, *self.span, 0), constant(self.factor), "decayed")

    def elaborate(self, platform):
        m = Module()
        product = self._product(self.word, m)
        wanted = self.word
        for _ in range(product.stage):
            held = Signal(wanted.shape(), reset_less=True)
            m.d.sync += held.eq(wanted)
            wanted = held
        m.d.comb += self.wrong.eq(product.value != wanted * self.of)
        return m


#: Reads all designs, maps them to and-inverter graphs, and writes each as AIGER, in which registers
#: begin as after configuration, and those that are not set then with any value.
WORKER = """
import json, sys
from pyosys import libyosys as yosys
names, design = json.loads(sys.argv[1]), yosys.Design()
steps = [f"read_rtlil {name}.il" for name in names]
steps += ["setattr -mod -unset top", "proc", "flatten", "opt_expr", "opt_clean", "memory_collect",
          "memory_map", "opt_expr", "opt_merge", "techmap", "opt_expr", "opt_clean", "dffunmap",
          "aigmap", "opt_clean"]
for name in names:
    steps += [f"setattr -mod -set top 1 {name}", f"write_aiger -zinit {name}.aig",
              f"setattr -mod -unset top {name}"]
for step in steps:
    yosys.run_pass(step, design)
"""
#: The prover that comes with yosys.
ABC = Path(pyosys.__file__).parent / "yosys-abc"
#: Unrolls cycles from any contents of the registers; the last one's output is left.
UNROLLED = "frames -F {cycles}; comb; cone -O {last}; strash; "


def prove(miters, limit=60):
    """For each miter whether its output is never 1 in the cycle in which all registers have been
    filled: True proven, False refuted, None not within ``limit`` seconds."""
    words = {"Networks are equivalent": True, "Networks are NOT EQUIVALENT": False}
    scripts = [
        UNROLLED.format(cycles=m.stages, last=m.stages - 1) + f"&get -n; &cec -m -T {limit}"
        for m in miters
    ]
    return [_verdict(log, words) for log in _logs(miters, scripts)]


def prove_always(miters, limit=60, deep=False):
    """The same for every cycle after configuration, however many: by an invariant that ABC finds
    and checks. ``deep``: with settings of its search that suit long sequences."""
    words = {"Property proved": True, "was asserted in frame": False}
    search = "pdr -nct" if deep else "pdr"
    scripts = [f"scorr -F 1; dc2; scorr -F 1; {search} -T {limit}"] * len(miters)
    return [_verdict(log, words) for log in _logs(miters, scripts)]


def exhausted(miter):
    """Whether the output is 0 for every pattern of what it depends on, as :func:`prove`."""
    script = UNROLLED.format(cycles=miter.stages, last=miter.stages - 1)
    with tempfile.TemporaryDirectory() as folder:
        _logs([miter], [f"{script} trim; write_aiger unrolled.aig"], folder)
        return not any_one(Path(folder) / "unrolled.aig")


def _logs(miters, scripts, folder=None):
    """What ABC says to the script of each miter."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return _logs(miters, scripts, made)
    names = [f"p{n}" for n in range(len(miters))]
    for name, miter in zip(names, miters, strict=True):
        text = rtlil.convert(miter, name=name, emit_src=False)
        (Path(folder) / f"{name}.il").write_text(text)
    _run([sys.executable, "-c", WORKER, json.dumps(names)], folder)
    return [
        _run([str(ABC), "-c", f"read_aiger {name}.aig; {script}"], folder)
        for name, script in zip(names, scripts, strict=True)
    ]


def _run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def _verdict(log, words):
    found = [verdict for text, verdict in words.items() if text in log]
    assert len(found) <= 1 and "Error" not in log, log[-500:]
    return found[0] if found else None
