"""The native harness: good circuits pass, every injected fault is caught and located."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.errors import ToolError, UsageError
from codesign.sim import faults
from codesign.sim.native import run_native


def run(design, **options):
    return run_native(design.build, design.inputs, design.expected, **options)


@pytest.mark.parametrize("threads", [1, 2, 0])
def test_good_circuits_pass_with_exact_cycles(unrolled, folded, threads) -> None:
    for design in (unrolled, folded):
        result = run(design, threads=threads)
        assert result.ok and result.first is None and result.received == 200
        assert result.latency == design.build.manifest.latency
        assert result.ii == design.build.manifest.ii
        assert result.frames_per_second > 0


@pytest.mark.parametrize("seed", range(6))
def test_good_circuits_pass_under_random_stalls(unrolled, folded, seed) -> None:
    for design in (unrolled, folded):
        result = run(design, stall_seed=seed)
        assert result.ok and result.latency is None and result.ii is None
        assert result.cycles > 200 * design.build.manifest.ii


def test_the_same_seed_gives_the_same_run(folded) -> None:
    cycles = [run(folded, stall_seed=s, threads=1).cycles for s in (5, 5, 6)]
    assert cycles[0] == cycles[1] != cycles[2]


def test_one_frame_and_more_threads_than_frames(unrolled) -> None:
    result = run(unrolled.with_frames(1), threads=8)
    assert result.ok and result.latency == 4 and result.ii is None and result.threads == 1
    assert run(unrolled.with_frames(3), threads=8).threads == 3


def test_wrong_weight_is_located_at_its_layer(unrolled) -> None:
    design = unrolled.edit_rtl("(10'sd7 * x3)", "(10'sd6 * x3)")
    frame = int(np.flatnonzero(design.inputs[:, 3])[0])
    first = run(design).first
    assert (first.tensor, first.frame, first.index) == ("fc1", frame, 1)
    assert first.expected == design.expected["fc1"][frame, 1]
    assert first.expected - first.actual == design.inputs[frame, 3]
    assert first.against == "RTL in Verilator"


def test_the_second_layer_is_named_when_the_first_is_right(folded) -> None:
    design = folded.edit_rtl("(15'sd3 * x0)", "(15'sd2 * x0)")
    first = run(design, threads=2).first
    assert first.tensor == "fc2" and first.index == 1


def test_a_single_wrong_frame_is_found(folded) -> None:
    folded.expected["fc2"][137, 1] += 1
    result = run(folded, threads=2)
    first = result.first
    # the tap and the output carry the same tensor: both differ
    assert result.mismatches == 2
    assert (first.tensor, first.frame, first.index) == ("fc2", 137, 1)
    assert first.expected == first.actual + 1


def test_swapped_lanes_in_the_first_layer(unrolled) -> None:
    design = unrolled.edit_rtl("y2, y1, y0}", "y2, y0, y1}")
    first = run(design).first
    assert first.tensor == "fc1" and first.index == 0


def test_a_dropped_stall_is_caught_only_with_stalls(unrolled) -> None:
    design = unrolled.edit_rtl(
        "wire out_ce = ~m_axis_tvalid | m_axis_tready;", "wire out_ce = 1'b1;"
    )
    assert run(design).ok
    result = run(design, stall_seed=1)
    assert not result.ok and result.mismatches > 0
    assert "random stalls" in result.first.against


def test_a_layer_that_ignores_ready_is_caught(unrolled) -> None:
    design = unrolled.edit_rtl("wire ce = ~o__valid | o__ready;", "wire ce = 1'b1;")
    assert not run(design, stall_seed=1).ok


def test_wrong_tlast(folded) -> None:
    first = run(folded.edit_rtl("m_axis_tlast <= o_p[15]", "m_axis_tlast <= ~o_p[15]")).first
    assert (first.tensor, first.expected, first.actual) == ("fc2", 0, 1)
    assert first.against.endswith("tlast is wrong")


def test_wrong_last_inside_the_design(folded) -> None:
    first = run(folded.edit_rtl("{beat == 1, data}", "{beat == 0, data}")).first
    assert first.tensor == "fc1" and first.against.endswith("tlast is wrong")


def test_a_beat_too_many(unrolled) -> None:
    design = unrolled.edit_rtl("else begin\n      if (in_ce) begin\n        v <= s_axis_tvalid;",
                               "else begin\n      if (in_ce) begin\n        v <= 1;")  # fmt: skip
    result = run(design)
    assert not result.ok


def test_a_hang_is_reported_with_what_got_stuck(unrolled, tmp_path) -> None:
    broken = faults.hang(unrolled.build, tmp_path / "broken", after=5)
    result = run_native(broken, unrolled.inputs, unrolled.expected, threads=1, watchdog=500)
    assert result.hang and not result.ok and result.received == 5 and result.first is None
    assert "of 200 frames passed: inner.network.fc1 5, inner.network.fc2 5, output 5" in (
        result.message
    )


def test_wrong_cycles_in_the_manifest_do_not_change_the_measurement(folded) -> None:
    folded.edit_manifest(latency=7, ii=6)
    result = run(folded)
    assert (result.latency, result.ii) == (8, 5)


def test_manifest_that_does_not_fit_the_rtl(unrolled) -> None:
    manifest = unrolled.build.manifest
    tap = manifest.taps[0]
    for changed, message in [
        (tap.model_copy(update={"path": ["network", "fc9"]}), "has no instance 'fc9'"),
        (tap.model_copy(update={"path": ["network", 'a";b']}), "not a plain Verilog identifier"),
        (tap.model_copy(update={"path": []}), "empty instance path"),
        (
            tap.model_copy(update={"port": tap.port.model_copy(update={"bits": 11})}),
            "the wire has 31 bits, the manifest says 34",
        ),
    ]:
        unrolled.edit_manifest(taps=[changed, *manifest.taps[1:]])
        with pytest.raises(UsageError, match=message):
            run(unrolled)


def test_verilog_that_does_not_compile_is_a_tool_error(unrolled) -> None:
    with pytest.raises(ToolError, match="verilator"):
        run(unrolled.edit_rtl("assign o_v =", "assign o_v + 1 ="))


def test_missing_and_short_vectors(unrolled) -> None:
    with pytest.raises(UsageError, match="no expected codes"):
        run_native(unrolled.build, unrolled.inputs, {"fc1": unrolled.expected["fc1"]})
    short = {k: v[:5] for k, v in unrolled.expected.items()}
    with pytest.raises(UsageError, match="5 frames expected, but 200 frames of input"):
        run_native(unrolled.build, unrolled.inputs, short)
    with pytest.raises(UsageError, match="no frames"):
        run(unrolled.with_frames(0))


def test_progress_is_told(unrolled) -> None:
    calls: list[int] = []
    many = np.tile(unrolled.inputs, (200, 1))
    expected = {k: np.tile(v, (200, 1)) for k, v in unrolled.expected.items()}
    result = run_native(unrolled.build, many, expected, threads=1, progress=calls.append)
    assert result.ok and calls == [8192, 16384, 24576, 32768]


def test_the_program_is_cached_by_rtl(unrolled, fresh_cache) -> None:
    cold = run(unrolled)
    warm = run(unrolled)
    assert warm.build_seconds < 0.2 < cold.build_seconds
    changed = run(unrolled.edit_rtl("(10'sd7 * x3)", "(10'sd6 * x3)"))
    assert changed.mismatches > 0
    assert len(list((fresh_cache() / "native").iterdir())) == 2
    assert {p.name.split("-")[0] for p in (fresh_cache() / "objects").iterdir()} == {
        "verilated.cpp",
        "verilated_threads.cpp",
    }
