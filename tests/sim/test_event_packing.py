"""Events on the AXI4-Stream: the beats of codesign.spikes, and what a monitor makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.manifest import EventPort, Port
from codesign.sim import packing
from codesign.sim.events import EventRecord, pack_events
from codesign.spikes import encode, to_beats

FEW = settings(derandomize=True, deadline=None, database=None, max_examples=40)


def port(steps: int, elements: int, levels: int) -> Port:
    bits = levels.bit_length()
    wire = max(1, (elements - 1).bit_length()) + (bits if levels > 1 else 0) + 1
    return Port(
        tensor="x", elements=steps * elements, lanes=1, bits=bits, signed=False, lo=0, hi=levels,
        data_bits=-(-wire // 8) * 8, events=EventPort(steps=steps, levels=levels),
    )  # fmt: skip


def frames(count: int, steps: int, elements: int, levels: int, rate: float) -> np.ndarray:
    rng = np.random.default_rng(count + 7 * steps + 31 * elements)
    codes = rng.integers(1, levels + 1, (count, steps, elements))
    return np.where(rng.random(codes.shape) < rate, codes, 0)


@FEW
@given(
    count=st.integers(1, 3),
    steps=st.integers(1, 4),
    elements=st.sampled_from([1, 2, 5, 64, 70000]),
    levels=st.sampled_from([1, 1, 3, 255]),
    rate=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_beats_are_those_of_the_specification(count, steps, elements, levels, rate) -> None:
    if elements > 100:
        rate /= 100
    x, p = frames(count, steps, elements, levels, rate), port(steps, elements, levels)
    beats, ends = pack_events(x.reshape(count, -1), p)
    want = [to_beats(encode(frame, levels)) for frame in x]
    assert ends.tolist() == np.cumsum([len(table) for table in want]).tolist()
    value = sum(beats[:, w].astype(object) << 32 * w for w in range(beats.shape[1]))
    counts = p.events.count_bits() if p.events else 0
    for word, (address, number, end, _) in zip(value, np.concatenate(want).tolist(), strict=True):
        mark = end << (p.address_bits + counts)
        assert int(word) == address | (number << p.address_bits if counts else 0) | mark


def seen(x: np.ndarray, p: Port) -> EventRecord:
    """A record that saw the frames ``x``, with noise where a beat ends a step."""
    count = len(x)
    beats, ends = pack_events(x.reshape(count, -1), p)
    width = p.payload_bits
    digits = packing.as_bitstrings(beats, 32 * beats.shape[1])
    record = EventRecord(p, x.reshape(count, -1))
    last = set((ends - 1).tolist())
    record.seen = [str(int(n in last)) + d[-width:] for n, d in enumerate(digits)]
    return record


@pytest.mark.parametrize("levels", [1, 3])
def test_a_monitor_adds_events_up_in_any_order(levels: int) -> None:
    x, p = frames(2, 3, 9, levels, 0.5), port(3, 9, levels)
    record, order = seen(x, p), np.arange(2)
    assert record.first_mismatch(order, "it") is None
    record.seen[0], record.seen[1] = record.seen[1], record.seen[0]
    assert record.first_mismatch(order, "it") is None


def test_a_monitor_names_what_is_wrong() -> None:
    x, p, order = frames(2, 3, 9, 1, 0.5), port(3, 9, 1), np.arange(2)
    step, address = np.argwhere(x[0])[0]
    record = seen(x, p)
    lost = record.seen.pop(0)
    found = record.first_mismatch(order, "it")
    assert found and (found.frame, found.index) == (0, 9 * step + address)
    assert (found.expected, found.actual) == (1, 0)
    record.seen[:0] = [lost, lost]
    found = record.first_mismatch(order, "it")
    assert found and (found.expected, found.actual) == (1, 2)
    record = seen(x, p)
    record.seen[-1] = "0" + record.seen[-1][1:]
    found = record.first_mismatch(order, "it")
    assert found and "tlast" in found.against and found.frame == 1
    record = seen(x, p)
    record.seen.append(record.seen[-1])
    found = record.first_mismatch(order, "it")
    assert found and "beyond the last frame" in found.against
    record = seen(x, p)
    record.seen.pop()
    found = record.first_mismatch(order, "it")
    assert found and "missing" in found.against
