"""Public models of ``../shared/models`` whose frames take long: generated, then compared in RTL."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from codesign.api import generate
from codesign.builddir import BuildDir
from codesign.sim.native import run_native
from codesign.verify.subject import Subject, reference_codes, taps_of
from codesign.verify.vectors import random_vectors

SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"


@pytest.mark.slow
@pytest.mark.timeout(3600)  # ten minutes are few beside other work
def test_super_resolution(tmp_path: Path) -> None:
    """Frames of 1.2 million cycles: predicted to the cycle, every code of every tensor equal."""
    model = SHARED / "espcn_w4a4_nn_resize.onnx"
    if not model.exists():
        pytest.skip(f"{model} is not here")
    design = generate(model, tmp_path / "build", target_ii=1_200_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20, "more than 4 GiB"
    assert design.manifest.ii == 1_179_648  # what its slowest layers take: nothing is lost
    assert not design.manifest.fifos
    report = design.verify(random_frames=2, cocotb=False)
    assert report.ok
    assert report.latency == design.manifest.latency
    (software,) = (e for e in report.evidence if e.link == "qonnx = reference")
    assert software.mismatches == 0 and software.codes > 5_000_000
    # So many codes are compared frame by frame; between three frames there is an interval.
    subject = Subject.open(BuildDir.open(design.path))
    three = random_vectors(subject.circuit, 3, seed=1)
    taps = taps_of(subject, reference_codes(subject, three))
    seen = run_native(subject.build, three.codes, taps, threads=1)
    assert (seen.mismatches, seen.ii) == (0, design.manifest.ii)
