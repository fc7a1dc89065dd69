"""Verification as JUnit XML: one test per comparison and per bench, as CI systems show them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from codesign.builddir import write_text_atomically
from codesign.evidence import BenchResult, Evidence, VerifyReport
from codesign.frontend.names import printable


def write_junit(report: VerifyReport, path: Path, design: str) -> None:
    """Write what ``report`` found of ``design`` to ``path``, whose folder is made if need be.

    The form is that of Ant's schema as GitHub, GitLab and Jenkins read it: ``testsuites``, a
    ``testsuite`` for comparisons and one for benches, ``failure`` with the first mismatch.
    """
    root = Xml.Element("testsuites", name=printable(design))
    comparisons = [_comparison(e) for e in report.evidence]
    for name, cases in (
        ("comparisons", comparisons),
        ("benches", [_bench(b) for b in report.benches]),
    ):
        suite = Xml.SubElement(root, "testsuite", name=name, tests=str(len(cases)), errors="0")
        suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
        suite.extend(cases)
    Xml.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _comparison(evidence: Evidence) -> Xml.Element:
    seed = "" if evidence.seed is None else f", seed {evidence.seed}"
    case = _case(evidence.link, evidence.vectors + seed, evidence.seconds)
    if evidence.mismatches:
        what = str(evidence.first) if evidence.first else evidence.note
        _fail(case, f"{evidence.mismatches} mismatches; {what}")
    lines = [
        f"{evidence.frames} frames, {evidence.codes} codes of: "
        + ", ".join(printable(name) for name in evidence.tensors)
    ]
    lines += [
        f"'{printable(name)}': {count} codes differ within proven float32 error"
        for name, count in evidence.explained_in.items()
    ]
    Xml.SubElement(case, "system-out").text = "\n".join([*lines, printable(evidence.note, 400)])
    return case


def _bench(bench: BenchResult) -> Xml.Element:
    case = _case(bench.engine, bench.name, bench.seconds)
    if not bench.passed:
        _fail(case, bench.message or "failed")
    return case


def _case(classname: str, name: str, seconds: float) -> Xml.Element:
    return Xml.Element(
        "testcase", classname=printable(classname), name=printable(name), time=f"{seconds:.3f}"
    )


def _fail(case: Xml.Element, message: str) -> None:
    Xml.SubElement(case, "failure", message=printable(message, 400), type="mismatch")
