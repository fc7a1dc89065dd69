"""The verdict: what is equal to what, and what differs how much. The one place that words it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from codesign.evidence import Evidence, VerifyReport
from codesign.report.model import Verdict

#: What the executions are compared with, and the circuit.
REFERENCE, RTL = "reference", "RTL"
#: Tensors named in the headline.
NAMED = 3


def verdict_of(verify: VerifyReport | None) -> Verdict:
    """Say what ``verify`` found, exact only with RTL evidence and without any difference.

    An execution whose codes differ within proven float32 error is not called equal: the headline
    counts its codes and names the tensors.
    """
    if verify is None:
        return Verdict(
            status="unverified",
            headline="Not verified",
            detail="codesign verify has not been run on this build.",
        )
    rtl = [e for e in verify.evidence if RTL in e.link]
    frames, codes = _distinct_frames(rtl), sum(e.codes for e in rtl)
    mismatches = sum(e.mismatches for e in verify.evidence)
    explained = sum(e.explained for e in verify.evidence)
    counts = {"frames": frames, "codes": codes, "mismatches": mismatches, "explained": explained}
    if not verify.ok:
        return Verdict(status="failed", headline="FAILED", detail=_failure(verify), **counts)
    if codes == 0:
        detail = "The evidence holds no comparison with the RTL."
        return Verdict(status="unverified", headline="Not verified", detail=detail, **counts)
    detail = f"{frames:,} frames through the RTL, {codes:,} codes compared, 0 mismatches"
    equal, apart = _sides(verify.evidence)
    headline = f"Proven bit-exact: {' = '.join([*equal, REFERENCE, RTL])}"
    if not apart:
        return Verdict(status="exact", headline=headline, detail=detail, **counts)
    differences = "; ".join(_differences(side, links) for side, links in apart.items())
    return Verdict(
        status="explained", headline=f"{headline}; {differences}", detail=detail, **counts
    )


def _sides(evidence: Sequence[Evidence]) -> tuple[list[str], dict[str, list[Evidence]]]:
    """Executions compared with the reference: those equal to it, and the links of the others."""
    links: dict[str, list[Evidence]] = {}
    for one in evidence:
        side, equals, other = one.link.partition(" = ")
        if equals and other == REFERENCE:
            links.setdefault(side, []).append(one)
    apart = {side: found for side, found in links.items() if any(e.explained for e in found)}
    return [side for side in links if side not in apart], apart


def _differences(side: str, links: Sequence[Evidence]) -> str:
    """How many codes of which tensors ``side`` has otherwise."""
    tensors = sum((Counter(e.explained_in) for e in links), Counter[str]())
    codes = sum(e.codes for e in links)
    named = ", ".join(f"'{name}'" for name, _ in tensors.most_common(NAMED))
    more = len(tensors) - NAMED
    named += f" and {more} more" if more > 0 else ""
    share = 100 * tensors.total() / codes
    return (
        f"{side} differs in {tensors.total():,} of {codes:,} codes ({share:.2g} %: {named}), each "
        "within proven float32 summation error"
    )


def _distinct_frames(rtl: Sequence[Evidence]) -> int:
    """Frames, a vector set that ran more than once (plain, stalled) counted once."""
    sets: dict[str, int] = {}
    for evidence in rtl:
        name = evidence.vectors.split(",")[0]
        sets[name] = max(sets.get(name, 0), evidence.frames)
    return sum(sets.values())


def _failure(verify: VerifyReport) -> str:
    """The first thing that went wrong, in one sentence."""
    for evidence in verify.evidence:
        if evidence.mismatches:
            first = f": {evidence.first}" if evidence.first else ""
            return f"{evidence.link}, {evidence.mismatches:,} mismatches{first}"
    failed = [bench for bench in verify.benches if not bench.passed]
    return f"bench {failed[0].name}: {failed[0].message or 'failed'}" if failed else "failed"
