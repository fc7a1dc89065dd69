"""Every comparison is a test of its own; a failure carries the first mismatch."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from codesign.verify.junit import write_junit
from tests.report import samples


def suites(report, tmp_path: Path) -> dict[str, ElementTree.Element]:
    path = tmp_path / "new" / "results.xml"
    write_junit(report, path, "a<b>\x1b")
    root = ElementTree.parse(path).getroot()
    assert root.tag == "testsuites" and "\x1b" not in path.read_text()
    return {suite.get("name", ""): suite for suite in root}


def test_one_test_a_comparison_and_a_bench(tmp_path: Path) -> None:
    report = samples.verification()
    found = suites(report, tmp_path)
    comparisons, benches = found["comparisons"], found["benches"]
    assert [c.get("classname") for c in comparisons] == [e.link for e in report.evidence]
    assert len({(c.get("classname"), c.get("name")) for c in comparisons}) == len(comparisons)
    assert [c.get("name") for c in benches] == [b.name for b in report.benches]
    assert not comparisons.findall(".//failure") and comparisons.get("failures") == "0"
    assert "'relu2_out': 2 codes differ" in (comparisons[0].findtext("system-out") or "")


def test_a_failure_names_the_first_mismatch(tmp_path: Path) -> None:
    found = suites(samples.failed(), tmp_path)
    (failure,) = found["comparisons"].findall(".//failure")
    assert "tensor 'relu2_out', frame 17" in (failure.get("message") or "")
    assert found["comparisons"].get("failures") == "1"
    late = samples.verification()
    broken = late.benches[0].model_copy(update={"passed": False, "message": "no answer"})
    found = suites(late.model_copy(update={"benches": [broken]}), tmp_path)
    assert found["benches"][0].find("failure").get("message") == "no answer"
