"""BuildDir → Report: reads manifest.json, reports/verify.json and reports/synth.json, no more."""

from __future__ import annotations

from codesign.builddir import BuildDir, while_reading
from codesign.evidence import SynthReport, VerifyReport
from codesign.manifest import Layer, Manifest, Port
from codesign.report.model import (
    KINDS,
    Accuracy,
    LayerRow,
    Performance,
    Report,
    Speed,
    Totals,
    Usage,
)
from codesign.report.verdict import verdict_of
from codesign.schema import Cost
from codesign.toolchain.cache import digest


@while_reading
def build_report(build: BuildDir) -> Report:
    """The report of ``build``; what was not run is None in it.

    A synthesis result of other RTL than the folder holds now is left out (``synth_stale``).
    """
    manifest = build.manifest
    verify = build.read_optional("reports/verify.json", VerifyReport)
    synth = build.read_optional("reports/synth.json", SynthReport)
    stale = synth is not None and synth.rtl_hash != rtl_hash(build)
    return assemble(manifest, verify, None if stale else synth, stale=stale)


def rtl_hash(build: BuildDir) -> str:
    """What ``SynthReport.rtl_hash`` must be for the RTL in the folder."""
    return digest("\n".join(path.read_text() for path in build.rtl_files()))


def assemble(
    manifest: Manifest,
    verify: VerifyReport | None,
    synth: SynthReport | None,
    *,
    stale: bool = False,
) -> Report:
    """The report from its three sources."""
    rows = [_row(layer, manifest, synth) for layer in manifest.layers]
    return Report(
        name=manifest.name,
        top=manifest.top,
        target=manifest.target,
        missed=manifest.missed.describe() if manifest.missed else "",
        model_sha256=manifest.model_sha256,
        board=manifest.board,
        in_label=manifest.input.label,
        out_label=manifest.output.label,
        in_shape=_shape(manifest.input),
        out_shape=_shape(manifest.output),
        host=manifest.host,
        verdict=verdict_of(verify),
        performance=_performance(manifest, verify, synth),
        layers=rows,
        edges=manifest.edges,
        activity=manifest.activity,
        fifos=manifest.fifos,
        totals=_totals(manifest, rows, synth),
        accuracy=Accuracy(
            float_model=manifest.float_accuracy,
            quantized_model=manifest.quantized_accuracy,
            circuit=verify.accuracy if verify else None,
            circuit_frames=verify.accuracy_frames if verify else 0,
        ),
        verify=verify,
        synth=synth,
        synth_stale=stale,
        critical_path=synth.critical_path if synth else None,
        versions=_versions(manifest, verify, synth),
    )


def _shape(port: Port) -> str:
    if port.events is not None:
        steps = port.events.steps
        return f"{port.elements} elements, as events of {steps} x {port.elements // steps}"
    return f"{port.elements} elements, {port.lanes} a beat"


def _versions(
    manifest: Manifest, verify: VerifyReport | None, synth: SynthReport | None
) -> dict[str, str]:
    """Tool versions of all stages; the stage that ran last wins where they differ."""
    merged = dict(manifest.versions)
    for stage in (verify, synth):
        merged.update(stage.versions if stage else {})
    return dict(sorted(merged.items()))


def _performance(
    manifest: Manifest, verify: VerifyReport | None, synth: SynthReport | None
) -> Performance:
    clock = manifest.board.clock_mhz
    fmax = synth.fmax_mhz if synth else None
    macs = sum(layer.macs for layer in manifest.layers)
    return Performance(
        latency_cycles=manifest.latency,
        ii=manifest.ii,
        measured_latency=verify.latency if verify else None,
        measured_ii=verify.ii if verify else None,
        at_board_clock=_speed(manifest, clock),
        at_fmax=_speed(manifest, fmax) if fmax else None,
        meets_clock=fmax >= clock if fmax else None,
        macs=macs,
        gmacs_at_board_clock=macs * clock / manifest.ii / 1000,
    )


def _speed(manifest: Manifest, mhz: float) -> Speed:
    return Speed(
        clock_mhz=mhz,
        frames_per_second=mhz * 1e6 / manifest.ii,
        latency_us=manifest.latency / mhz,
    )


def _row(layer: Layer, manifest: Manifest, synth: SynthReport | None) -> LayerRow:
    found = synth.per_layer.get(layer.name) if synth else None
    by_events = layer.style == "event"  # their work depends on the spikes
    slots = 0 if by_events else layer.pe * layer.simd * layer.pixels * manifest.ii
    return LayerRow(
        **layer.model_dump(exclude={"module", "estimate"}),
        utilisation=100 * layer.macs / slots if slots and layer.macs else None,
        bottleneck=layer.ii == max(other.ii for other in manifest.layers),
        estimate=layer.estimate,
        synthesised=found,
        difference=difference(layer.estimate, found),
    )


def difference(estimate: Cost, found: Cost | None) -> dict[str, float | None]:
    """(estimate - found) / found in % for each resource; None where ``found`` has none."""
    return {
        kind: 100 * (getattr(estimate, kind) - have) / have
        if found and (have := getattr(found, kind))
        else None
        for kind in KINDS
    }


def _totals(manifest: Manifest, rows: list[LayerRow], synth: SynthReport | None) -> Totals:
    """Sums over the layers, and how the board is used."""
    estimate = sum((row.estimate for row in rows), Cost())
    layers = sum((r.synthesised for r in rows if r.synthesised), Cost()) if synth else None
    total = synth.total if synth else None
    placed = synth.placed if synth else None
    capacity = synth.capacity if synth else manifest.board.capacity
    return Totals(
        estimate=estimate,
        synthesised_layers=layers,
        glue=_minus(total, layers) if total and layers else None,
        synthesised=total,
        placed=placed,
        difference=difference(estimate, layers),
        usage_source="placed" if placed else "synthesised" if total else "estimated",
        board_usage=[_usage(kind, placed or total or estimate, capacity) for kind in KINDS],
    )


def _minus(a: Cost, b: Cost) -> Cost:
    return Cost(**{kind: max(0, getattr(a, kind) - getattr(b, kind)) for kind in KINDS})


def _usage(kind: str, used: Cost, capacity: Cost) -> Usage:
    have, need = getattr(capacity, kind), getattr(used, kind)
    percent = 100 * need / have if have else None
    return Usage(kind=kind, label=KINDS[kind], used=need, available=have, percent=percent)
