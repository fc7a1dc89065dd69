"""The cocotb bench: good circuits pass all tests, each fault fails the right one."""

from __future__ import annotations

import pytest

from codesign.errors import ToolError, UsageError
from codesign.sim import faults, waves
from codesign.sim.runner import TESTS, run_cocotb
from codesign.toolchain.verilator import find_verilator


def run(design, **options):
    return run_cocotb(design.build, design.inputs, design.expected, **options)


def failures(design, **options) -> dict[str, str]:
    return {b.name: b.message for b in run(design, **options).benches if not b.passed}


def test_good_circuits_pass_everything(unrolled, folded) -> None:
    for design in (unrolled, folded):
        result = run(design)
        assert result.ok and [b.name for b in result.benches] == list(TESTS)
        assert (result.latency, result.ii) == (
            design.build.manifest.latency,
            design.build.manifest.ii,
        )
        assert result.frames_per_second > 1000


@pytest.mark.parametrize("seed", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_other_seeds_and_few_frames(folded, seed) -> None:
    assert run(folded.with_frames(1), seed=seed).ok


def test_wrong_weight_is_located(unrolled) -> None:
    failed = failures(unrolled.edit_rtl("(10'sd7 * x3)", "(10'sd6 * x3)"))
    assert "first mismatch in tensor 'fc1', frame 0, index 1: expected" in failed["exactness"]
    assert set(failed) >= {"exactness", "random_stalls", "idle_gaps", "reset_mid_frame"}


@pytest.mark.slow
def test_swapped_lanes(folded) -> None:
    failed = failures(folded.edit_rtl("{acc1, acc0}", "{acc0, acc1}"))
    assert "tensor 'fc1', frame 0, index 0" in failed["exactness"]


def test_dropped_stall_fails_the_stall_test_only(unrolled) -> None:
    failed = failures(
        unrolled.edit_rtl("wire out_ce = ~m_axis_tvalid | m_axis_tready;", "wire out_ce = 1'b1;")
    )
    assert "while waiting for tready" in failed.pop("random_stalls")
    assert set(failed) <= {"reset_mid_frame"}


def test_wrong_cycles_in_the_manifest(folded) -> None:
    result = run(folded.edit_manifest(latency=9, ii=4))
    failed = {b.name: b.message for b in result.benches if not b.passed}
    assert set(failed) == {"latency_and_ii"}
    assert (
        "latency measured 8, manifest says 9; II measured 5.0, manifest says 4"
        in (failed["latency_and_ii"])
    )
    assert (result.latency, result.ii) == (8, 5)


def test_lost_reset(folded) -> None:
    design = folded.edit_rtl("if (rst) begin beat <= 0; emit <= 0; ", "if (1'b0) begin beat <= 0;")
    assert "reset_mid_frame" in failures(design)


def test_wrong_tlast(folded) -> None:
    failed = failures(folded.edit_rtl("m_axis_tlast <= o_p[15]", "m_axis_tlast <= ~o_p[15]"))
    assert "tlast is wrong" in failed["exactness"]


def test_hang_is_named(unrolled, tmp_path) -> None:
    broken = faults.hang(unrolled.build, tmp_path / "broken", after=5)
    result = run_cocotb(broken, unrolled.inputs, unrolled.expected, only=["exactness"])
    message = result.benches[0].message
    assert "the circuit hangs: nothing moved for" in message
    assert "beats taken 5, inner.network.fc1 5" in message
    assert "delivered 5 of 200" in message


def test_only_and_frames_are_honoured(unrolled) -> None:
    result = run(unrolled, only=["random_stalls"], frames={"random_stalls": 17})
    assert [(b.name, b.frames) for b in result.benches] == [("random_stalls", 17)]
    with pytest.raises(UsageError, match="no test named 'nope'"):
        run(unrolled, only=["nope"])


def test_vcd_is_written_on_request(unrolled) -> None:
    result = run(unrolled, waves="vcd", only=["exactness"], frames={"exactness": 5})
    assert result.ok and result.waves == unrolled.build.root / "sim" / "dump.vcd"
    assert "o__payload" in result.waves.read_text()
    said = waves.found_waves(unrolled.build)
    assert said.startswith(f"waveforms: {result.waves} (") and "apt-get install liblz4-dev" in said


def test_fst_without_headers_is_explained(unrolled, monkeypatch) -> None:
    monkeypatch.setattr(waves, "_has", lambda tool, header: header != "lz4.h")
    with pytest.raises(ToolError, match="apt-get install liblz4-dev; or ask for VCD"):
        run(unrolled, waves="fst")
    assert waves.wave_format(find_verilator(), True) == (
        "vcd",
        "wrote VCD: FST needs liblz4-dev (apt-get install liblz4-dev)",
    )
    monkeypatch.setattr(waves, "_has", lambda tool, header: True)
    assert waves.wave_format(find_verilator(), True) == ("fst", "")


def test_verilog_that_does_not_compile_is_a_tool_error(unrolled) -> None:
    with pytest.raises(ToolError, match="building the cocotb simulation failed"):
        run(unrolled.edit_rtl("assign o_v =", "assign o_v + 1 ="))
