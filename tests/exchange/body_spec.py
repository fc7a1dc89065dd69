"""The ONNX body of a neuron as a specification: its int64 operators one by one, on Python integers
or on wires of Amaranth, which never overflow. The second side of the proofs in tests/hdl."""

import numpy as np
from amaranth.hdl import Mux, Value
from onnx import TensorProto, numpy_helper

from codesign.exchange import neuron_node
from codesign.exchange.function import function_of
from codesign.exchange.node import schema_at
from tests.neurons.spec import wire


class Real:
    """A float32 tensor: ``code * 2**-frac``, exact."""

    def __init__(self, code, frac):
        self.code, self.frac = code, frac


def power_of_two(x):
    """The exponent; bodies divide by nothing else."""
    assert isinstance(x, int) and x > 0 and x & (x - 1) == 0, x
    return x.bit_length() - 1


def choose(condition, then, other):
    if isinstance(condition, Value):
        return Mux(condition, then, other)
    return then if condition else other


def truth(x):
    return x if isinstance(x, Value) else int(bool(x))


def quotient(x, by):
    """Rounded toward zero."""
    bits = power_of_two(by)
    return choose(x < 0, -((-x) >> bits), x >> bits)


def multiply(a, b):
    if isinstance(a, Real) or isinstance(b, Real):
        a, b = (a, b) if isinstance(a, Real) else (b, a)
        exponent = int(np.log2(b.code)) if isinstance(b.code, float) else None
        assert exponent is not None and 2.0**exponent == b.code
        return Real(a.code, a.frac - exponent)
    return a * b


def cast(x, to):
    if to == TensorProto.FLOAT:
        return Real(x, 0)
    if isinstance(x, Real):
        assert x.frac == 0, "a cast that rounds"
        return x.code
    return x


def same(a, b):
    if isinstance(a, Real):
        assert a.frac == b.frac
        a, b = a.code, b.code
    return truth(a == b) if a is not b else 1


def gather(table, at):
    """An entry of a table; that of a refusal has one."""
    if len(table) == 1:
        return int(table[0])
    assert isinstance(at, int), "a table at run time"
    return int(table[at])


OPERATORS = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": multiply,
    "Div": quotient,
    "Mod": lambda a, b: a & ((1 << power_of_two(b)) - 1),
    "Neg": lambda a: -a,
    "Abs": lambda a: choose(a < 0, -a, a),
    "Less": lambda a, b: truth(a < b),
    "LessOrEqual": lambda a, b: truth(a <= b),
    "Greater": lambda a, b: truth(a > b),
    "GreaterOrEqual": lambda a, b: truth(a >= b),
    "Equal": same,
    "And": lambda a, b: a & b,
    "Or": lambda a, b: a | b,
    "Xor": lambda a, b: a ^ b,
    "Not": lambda a: truth(a == 0),
    "Where": choose,
    "Gather": gather,
    "Identity": lambda a: a,
}


class BodySpec:
    """A step of one neuron by the body of its operator."""

    def __init__(self, model, channel=0):
        self.model = model
        inputs = [f"in_{name}" for name in model.inputs]
        node = neuron_node(model, name="n", inputs=inputs, out="out").node
        self.function = function_of(node, 20)
        schema, codes = schema_at(node), {}
        for name, vector in schema.codes(model).items():
            codes[name] = int(vector[channel % len(vector)])
        self.given = {
            p.name: Real(codes[p.name], p.frac) for p in schema.parameters(schema.attributes(model))
        }

    def step(self, *given):
        model = self.model
        *given, old = given
        at = dict(self.given)
        for name, frac, code in zip(model.inputs, model.input_fracs, given, strict=True):
            at[name] = Real(code, frac)
        at |= {s.name: Real(old[s.name], s.word.frac) for s in model.states}
        for node in self.function.node:
            at[node.output[0]] = self._apply(node, [at[name] for name in node.input])
        results = [at[name] for name in self.function.output]
        words = [model.out, *(s.word for s in model.states)]
        for result, word in zip(results, words, strict=True):
            assert result.frac == word.frac
        codes = [r.code for r in results]
        return codes[0], dict(zip([s.name for s in model.states], codes[1:], strict=True))

    def _apply(self, node, operands):
        if node.op_type == "Constant":
            array = numpy_helper.to_array(node.attribute[0].t)
            if array.dtype == np.float32:
                return Real(float(array), 0)
            return array if array.ndim else int(array)
        if node.op_type == "Cast":
            return cast(operands[0], node.attribute[0].i)
        found = OPERATORS[node.op_type](*operands)
        return Real(wire(found.code), found.frac) if isinstance(found, Real) else wire(found)
