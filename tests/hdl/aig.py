"""And-inverter graphs (binary AIGER) on every pattern of their inputs, 64 patterns a word."""

import numpy as np

#: Patterns of the lowest six inputs.
LOW = [np.uint64(sum(1 << n for n in range(64) if n >> k & 1)) for k in range(6)]
ALL = np.uint64((1 << 64) - 1)
#: Inputs that vary within one run.
AT_ONCE = 20


def any_one(path):
    """Whether the only output is 1 for some pattern of the inputs, of which there are at most 28;
    no registers."""
    data = path.read_bytes()
    head, rest = data.split(b"\n", 1)
    top, inputs, registers, outputs, gates = (int(n) for n in head.split()[1:6])
    assert registers == 0 and outputs == 1 and inputs <= 28, head
    output, rest = rest.split(b"\n", 1)
    pairs = _gates(rest, top - gates, gates)
    near = min(inputs, AT_ONCE)
    words = max(1, 1 << (near - 6))
    index = np.arange(words, dtype=np.uint64)
    varied = [
        np.full(words, LOW[k])
        if k < 6
        else np.where(index >> np.uint64(k - 6) & np.uint64(1), ALL, np.uint64(0))
        for k in range(near)
    ]
    for far in range(1 << (inputs - near)):
        fixed = [
            np.full(words, ALL if far >> k & 1 else 0, np.uint64) for k in range(inputs - near)
        ]
        if _output([*varied, *fixed], pairs, int(output), words).any():
            return True
    return False


def _gates(data, first, count):
    """(left, right) literals of each gate, whose variables follow ``first``."""
    at, pairs = 0, []

    def delta():
        nonlocal at
        value = shift = 0
        while data[at] & 128:
            value |= (data[at] & 127) << shift
            at, shift = at + 1, shift + 7
        value |= data[at] << shift
        at += 1
        return value

    for n in range(count):
        left = 2 * (first + 1 + n) - delta()
        pairs.append((left, left - delta()))
    return pairs


def _output(inputs, pairs, output, words):
    values = [np.zeros(words, np.uint64), *inputs]

    def of(literal):
        return ~values[literal >> 1] if literal & 1 else values[literal >> 1]

    for left, right in pairs:
        values.append(of(left) & of(right))
    return of(output)
