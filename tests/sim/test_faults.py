"""Generic stream faults: each is noticed, and an untouched copy passes."""

from __future__ import annotations

import pytest

from codesign.errors import UsageError
from codesign.sim import faults
from codesign.sim.native import run_native
from codesign.sim.runner import run_cocotb


@pytest.mark.parametrize("name", ["drop_stall", "flip_output_bit", "wrong_tlast", "hang"])
def test_native_notices(folded, tmp_path, name) -> None:
    broken = faults.STREAM_FAULTS[name](folded.build, tmp_path / "broken")
    result = run_native(broken, folded.inputs, folded.expected, stall_seed=1, watchdog=2000)
    assert not result.ok


def test_swapped_lanes_are_noticed(unrolled, tmp_path) -> None:
    broken = faults.swap_output_lanes(unrolled.build, tmp_path / "broken")
    result = run_native(broken, unrolled.inputs, unrolled.expected)
    assert result.first.tensor == "fc2" and result.first.index == 0


# tests/sim/test_cocotb.py has stalls, tlast and cycles in every round
@pytest.mark.parametrize(
    "name",
    [
        "ignore_reset",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("drop_stall", "wrong_tlast")),
    ],
)
def test_cocotb_notices(folded, tmp_path, name) -> None:
    broken = faults.STREAM_FAULTS[name](folded.build, tmp_path / "broken")
    assert not run_cocotb(
        broken, folded.inputs[:40], {k: v[:40] for k, v in folded.expected.items()}
    ).ok


@pytest.mark.slow
def test_wrong_cycles_are_noticed(unrolled, tmp_path) -> None:
    broken = faults.wrong_cycles(unrolled.build, tmp_path / "broken", latency=1)
    result = run_cocotb(broken, unrolled.inputs, unrolled.expected, only=["latency_and_ii"])
    assert "latency measured 4, manifest says 5" in result.benches[0].message


def test_the_copy_itself_is_good_and_the_original_untouched(unrolled, tmp_path) -> None:
    before = unrolled.build.rtl_files()[0].read_text()
    copy = faults.copy_build(unrolled.build, tmp_path / "copy")
    faults.drop_stall(unrolled.build, tmp_path / "broken")
    assert run_native(copy, unrolled.inputs, unrolled.expected).ok
    assert unrolled.build.rtl_files()[0].read_text() == before
    with pytest.raises(UsageError, match="exists already"):
        faults.copy_build(unrolled.build, tmp_path / "copy")
    with pytest.raises(UsageError, match="2 lanes"):
        faults.swap_output_lanes(unrolled.build, tmp_path / "x", 0, 2)
