"""The pictures of spiking networks: where things lie, what is said, and what is not said."""

from __future__ import annotations

import re
from typing import Any

import pytest

from codesign.evidence import CyclePoint, SpikingLayer, SpikingReport, Trace
from codesign.manifest import Activity
from codesign.report.build import assemble
from codesign.report.cycles import cycle_picture
from codesign.report.html import render_html
from codesign.report.plot import HEIGHT, LEFT, RIGHT, TOP, WIDTH, Scale, around, number, round_step
from codesign.report.spiking import curves, rasters
from codesign.verify.energy import BIT, energy_models
from tests.report import samples

ACTIVITY = Activity(silent_ii=100, dense_ii=2100, expected={"fc1": 4.0})
LAYERS = [
    SpikingLayer(name="hidden", neurons=128, steps=4, rate=0.1, synapses="w0", inputs_active=0.1,
                 synaptic_operations=4000, dense_operations=32768, weight_bits=4, spike_bits=1,
                 state_bits=9),
    SpikingLayer(name="readout", neurons=10, steps=4, rate=None, state_bits=12),
]  # fmt: skip
POINTS = [
    CyclePoint(spikes=50, cycles=260, interval=210.0),
    CyclePoint(spikes=60, cycles=290, interval=180.0),
    CyclePoint(spikes=0, cycles=140, interval=100.0, kind="silent"),
]
INPUT = Trace(tensor="x", kind="input", neurons=[0, 5, 9], of=784,
              circuit=[[1, 0, 0], [0, 1, 0]], model=[[1, 0, 0], [0, 0, 1]])  # fmt: skip
STATE = Trace(tensor="hidden.v", kind="state", neurons=[3, 8], of=128, scale=0.25,
              circuit=[[4, -4], [8, 0]], model=[[4, -4], [8, 0]], threshold=[[8, 8], [8, 8]],
              fired=[[0, 0], [1, 0]], reset=True, compared=[[4, -4], [16, 0]])  # fmt: skip


def spiking(**changes: Any) -> SpikingReport:
    base = SpikingReport(
        vectors="test split", frames=360, steps=4, layers=LAYERS, bit_budget=16, s_ace=152e3,
        ns_ace=18.7e3, equivalent_bits=3, equivalent_ace=114e3, energy=energy_models(LAYERS),
        cycles=POINTS, most_spikes=400, traces=[INPUT, STATE], shown=7,
    )  # fmt: skip
    return base.model_copy(update=changes)


def page(report: SpikingReport, activity: Activity | None = ACTIVITY) -> str:
    manifest = samples.manifest().model_copy(update={"activity": activity})
    verify = samples.verification().model_copy(update={"spiking": report})
    return render_html(assemble(manifest, verify, None))


def test_the_line_joins_the_exact_ends_and_nothing_is_fitted():
    found = cycle_picture(spiking(), ACTIVITY)
    assert found is not None and found.share == 100 / 2100 and found.slope == 5
    assert (found.farthest, found.off) == (POINTS[1], 180 - 400)  # the silent one is none of them
    assert found.silent_measured == 100 and found.frames == 2
    whole, near = found.panels
    assert len(whole.ends) == 2 and len(whole.silent) == 1 and not near.ends and not near.silent
    start, end = whole.ends
    assert whole.line == f"M{start.x:.1f} {start.y:.1f}L{end.x:.1f} {end.y:.1f}"
    more = spiking(cycles=[*POINTS, CyclePoint(spikes=55, cycles=990, interval=900.0)])
    again = cycle_picture(more, ACTIVITY)
    assert again is not None and (again.share, again.slope) == (found.share, found.slope)
    assert again.off == 900 - 375
    text = page(spiking())
    for says in ("4.8 %", "180 cycles at 60 spikes: 220 below it", "predicted exactly",
                 "5.00 cycles a spike", "nothing is fitted"):  # fmt: skip
        assert says in text, says


@pytest.mark.parametrize(
    "changes",
    [{"cycles": []}, {"most_spikes": 0}, {"cycles": [CyclePoint(spikes=3, cycles=9)]}],
)
def test_without_measured_frames_only_the_ends_are_said(changes):
    """As in results of earlier versions, and where states go on from frame to frame."""
    assert cycle_picture(spiking(**changes), ACTIVITY) is None
    assert "No single frames were measured" in page(spiking(**changes))
    assert cycle_picture(spiking(), None) is None
    assert "Cycles against spikes" not in page(spiking(), None)


def test_input_spikes_are_drawn_and_differences_stand_out():
    (raster,) = rasters(spiking())
    assert raster.source and (raster.shown, raster.of, raster.spikes) == (3, 784, 2)
    assert raster.differences == 2
    assert [part.count("M") for part in (raster.both, raster.circuit, raster.model)] == [1, 1, 1]
    assert [t.text for t in raster.axes.across] == ["1", "2"]
    assert [t.text for t in raster.axes.up] == ["0", "5", "9"]  # the inputs' own numbers
    text = page(spiking())
    assert "2 spikes of 3 out of 784 inputs" in text and "2 differ" in text


def test_states_have_a_threshold_and_values():
    (picture,) = curves(spiking())
    assert (picture.unit, picture.threshold, picture.differences) == ("1 code = 2⁻²", "θ = 2", 0)
    low, high = (float(t.text.replace("−", "-")) for t in (picture.axes.up[0], picture.axes.up[-1]))
    assert (low, high) == (0, 4)  # codes -4 ... 16 at 2^-2, in round steps of 2
    two = next(t.at for t in picture.axes.up if t.text == "2")
    for curve in picture.curves:
        heights = {float(y) for y in re.findall(r" ([\d.]+)", curve.threshold)}
        assert heights == {round(two, 1)}
    assert abs(picture.curves[0].dots[1].y - two) < 1e-9
    (drop,) = picture.curves[0].drops  # only where it fired
    assert drop.y < two and abs(drop.stored - two) < 1e-9 and not picture.curves[1].drops
    assert [bool(curve.fired) for curve in picture.curves] == [True, False]
    text = page(spiking())
    assert "θ = 2; stored after the reset" in text and 'class="threshold"' in text
    free = STATE.model_copy(update={"threshold": [], "fired": [], "reset": False, "compared": []})
    assert 'class="threshold"' not in page(spiking(traces=[free]))


def test_energy_lists_every_term():
    """Operations, weights, neurons and their state: none is left out of the sum."""
    int8 = next(e for e in energy_models(LAYERS) if e.name == "int8")
    found = {t.name: (t.spiking, t.baseline) for t in int8.terms}
    assert found == {
        "additions of weights": (4000, 0),
        "MACs of weights": (0, 8192),
        "bits of weights read": (16000, 32768),
        "updates of neurons": (552, 138),
        "bits of state read and written": (2 * 4 * (128 * 9 + 10 * 12), 0),
    }
    spiking_pj = 4000 * 0.03 + 16000 * BIT + 552 * (0.23 + 2 * 0.03) + 10176 * BIT
    assert int8.spiking_nj == pytest.approx(spiking_pj / 1000)
    assert int8.baseline_nj == pytest.approx((8192 * 0.23 + 32768 * BIT + 138 * 0.23) / 1000)
    (first, second, *_) = energy_models([LAYERS[0].model_copy(update={"spike_bits": 4})])[0].terms
    assert (first.spiking, second.spiking) == (0, 4000)  # numbers are multiplied
    text = page(spiking())
    for says in ("not measurements", "Bits of state read and written", "10,176", "Sum, nJ"):
        assert says in text, says


def test_the_baseline_is_said_to_be_computed():
    text = page(spiking())
    assert "nothing was trained or built for it" in text and "Σ MACs · b" in text
    old = [e.model_copy(update={"terms": []}) for e in energy_models(LAYERS)]
    assert "without neurons and memory" in page(spiking(energy=old))


def test_hostile_names_stay_text_in_pictures():
    bad = '"><script>alert(1)</script>{{ 7*7 }}\x1b'
    named = [t.model_copy(update={"tensor": bad}) for t in (INPUT, STATE)]
    layers = [LAYERS[0].model_copy(update={"name": bad, "synapses": bad})]
    text = page(spiking(traces=named, layers=layers, vectors=bad))
    assert "<script" not in text and "\x1b" not in text and "&lt;script&gt;" in text
    assert "{{ 7*7 }}" in text


def test_axes_hold_what_they_show():
    scale = around([-3.0, 5.0])
    assert scale.low < -3 and scale.high > 5
    assert LEFT < scale.x(-3) < scale.x(5) < WIDTH - RIGHT
    assert TOP < scale.y(5) < scale.y(-3) < HEIGHT
    ticks = Scale(0, 2200).ticks(5, upward=True)
    assert [t.text for t in ticks] == ["0", "500", "1,000", "1,500", "2,000"]
    assert [round_step(x) for x in (0.3, 1, 3, 7, 120)] == [0.5, 1, 5, 10, 200]
    assert [number(x) for x in (-0.0, -2.5, 1e6, 0.03125)] == ["0", "−2.5", "1,000,000", "0.03125"]
    assert around([4.0, 4.0]).high > 4
