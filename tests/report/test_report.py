"""The Report model, its terminal face and its page."""

import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from rich.console import Console

from codesign.evidence import (
    EnergyModel,
    EventLoad,
    EventReport,
    Evidence,
    SpikingLayer,
    SpikingReport,
    Trace,
)
from codesign.manifest import Activity, Edge, Manifest
from codesign.report import Report, build_report, units, write_report
from codesign.report.graph import edge_text, picture
from codesign.report.html import render_html
from codesign.report.terminal import (
    design_table,
    doctor_table,
    render,
    spiking_table,
    synth_table,
    verify_table,
)
from codesign.report.verdict import verdict_of
from codesign.toolchain.doctor import Check
from tests.report import samples

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}[red]\x1b[31m"
VOID = {"meta", "br", "path", "circle", "rect", "link", "img", "input"}


class Page(HTMLParser):
    """Collects tags, attributes and text; checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> does not nest"

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    root = tmp_path_factory.mktemp("full") / "build"
    return samples.make_build(root, verify=samples.verification(), synth=True)


def hostile(root):
    rows = [row.model_copy(update={"name": HOSTILE}) for row in samples.layers()[:1]]
    edges = [Edge(source="input", target=HOSTILE, label=HOSTILE)]
    changed = samples.manifest().model_copy(
        update={"name": HOSTILE, "layers": rows, "edges": edges, "target": HOSTILE}
    )
    return samples.make_build(root, changed=Manifest(**changed.model_dump()))


def printed(*items, width=160) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None)
    for item in items:
        console.print(item)
    return stream.getvalue()


def test_verdict_counts_each_vector_set_once(full):
    verdict = build_report(full).verdict
    assert verdict.status == "explained" and verdict.frames == 450 + 10_000
    assert verdict.mismatches == 0 and verdict.explained == 2


def test_the_verdict_says_what_equals_what_and_counts_the_rest_beside_it():
    """An execution whose codes differ is not called equal, however well that is explained."""
    found = samples.verification()
    assert verdict_of(found).headline == (
        "Proven bit-exact: qonnx = reference = RTL; PyTorch differs in 2 of 26,100 codes "
        "(0.0077 %: 'relu2_out'), each within proven float32 summation error"
    )
    exact = [e.model_copy(update={"explained_in": {}}) for e in found.evidence]
    plain = verdict_of(found.model_copy(update={"evidence": exact}))
    assert plain.status == "exact"
    assert plain.headline == "Proven bit-exact: PyTorch = qonnx = reference = RTL"
    many = {f"t{n}": 9 - n for n in range(5)}
    exact[1] = exact[1].model_copy(update={"explained_in": many})
    text = verdict_of(found.model_copy(update={"evidence": exact})).headline
    assert "PyTorch = reference = RTL; qonnx differs in 35 of" in text
    assert "'t0', 't1', 't2' and 2 more" in text


def test_evidence_in_parts_counts_each_tensor():
    one = samples.verification().evidence[0]
    both = Evidence.merged([one, one.model_copy(update={"explained_in": {"q": 1}})])
    assert both.explained_in == {"relu2_out": 2, "q": 1} and both.explained == 3


def test_figures(full):
    report = build_report(full)
    perf = report.performance
    assert perf.at_board_clock.frames_per_second == pytest.approx(100e6 / 64)
    assert perf.at_fmax.latency_us == pytest.approx(173 / 127.42)
    assert perf.meets_clock is True
    first = report.layers[0]
    assert first.utilisation == pytest.approx(100 * 2048 / (32 * 64))
    assert first.bottleneck and not report.layers[2].bottleneck
    assert first.difference["lut"] == pytest.approx(100 * (1710 - 1583) / 1583)
    assert first.difference["dsp"] is None
    totals = report.totals
    assert totals.glue.lut == 2671 - (1583 + 560 + 318 + 88)
    assert totals.usage_source == "placed" and totals.board_usage[0].used == 2987


def test_nothing_is_invented_when_stages_are_missing(tmp_path):
    report = build_report(samples.make_build(tmp_path / "b"))
    assert report.verdict.status == "unverified" and report.performance.at_fmax is None
    assert report.totals.synthesised is None and report.totals.usage_source == "estimated"
    assert report.accuracy.circuit is None and report.performance.measured_ii is None
    text = Page(render_html(report)).text
    assert text.count("not run") >= 4 and "bit-exact" not in text


def test_evidence_without_rtl_is_no_proof(tmp_path):
    software = samples.verification().model_copy(
        update={"evidence": samples.verification().evidence[:2]}
    )
    report = build_report(samples.make_build(tmp_path / "b", verify=software))
    assert report.verdict.status == "unverified"


def test_failures_name_the_first_mismatch(tmp_path):
    report = build_report(samples.make_build(tmp_path / "b", verify=samples.failed()))
    assert report.verdict.status == "failed"
    text = Page(render_html(report)).text
    assert "FAILED" in text and "tensor 'relu2_out', frame 17" in text
    assert "FAILED" in printed(*render(report))


def test_a_failed_bench_fails_the_verdict(tmp_path):
    good = samples.verification()
    bench = good.benches[0].model_copy(update={"passed": False, "message": "no answer"})
    bad = good.model_copy(update={"benches": [bench]})
    report = build_report(samples.make_build(tmp_path / "b", verify=bad))
    assert report.verdict.status == "failed" and "no answer" in report.verdict.detail


def test_synthesis_of_other_rtl_is_left_out(tmp_path):
    build = samples.make_build(tmp_path / "b", synth=True)
    (build.root / "rtl" / "top.v").write_text("module other; endmodule\n")
    report = build_report(build)
    assert report.synth is None and report.synth_stale
    assert "belongs to other RTL" in Page(render_html(report)).text


def test_slow_designs_say_so(tmp_path):
    build = samples.make_build(tmp_path / "b", synth=True)
    slow = samples.synthesis(build).model_copy(update={"fmax_mhz": 80.0})
    build.write("reports/synth.json", slow)
    assert "Fmax is below the planned clock" in Page(render_html(build_report(build))).text


def test_files_are_written_and_json_reads_back(full):
    page = write_report(full)
    assert page == full.root / "reports" / "report.html"
    data = (full.root / "reports" / "report.json").read_text()
    assert Report.model_validate(json.loads(data)) == build_report(full)


def test_page_structure_and_no_network(full):
    html = render_html(build_report(full))
    page = Page(html)
    assert not page.open
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert tags.count("h1") == 1 and {"main", "header", "footer", "svg", "table"} <= set(tags)
    for _, attributes in page.tags:
        assert not {"src", "href", "onload", "onclick"} & set(attributes)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    policy = [a for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy[0]["content"]


def test_page_content(full):
    text = Page(render_html(build_report(full))).text
    for wanted in (
        "Proven bit-exact",
        "10,450 frames",
        "1.99 M frames/s",
        "127.4 MHz",
        "uint4 · 2⁻⁴",
        "32 × 1",
        "multipliers are the fewest that finish in 64 cycles",
        "97.78 %",
        "reset_mid_frame",
        "network.fc1.accumulator_12[10]",
        "Placed by nextpnr",
        "pyosys 0.70",
    ):
        assert wanted in text, wanted


def test_hostile_names_are_text(tmp_path):
    report = build_report(hostile(tmp_path / "b"))
    html = render_html(report)
    page = Page(html)
    assert "script" not in [tag for tag, _ in page.tags]
    assert "<script>" not in html and "\x1b" not in html and "49" not in page.text.split()
    assert "<script>alert(1)</script>" in page.text
    shown = printed(*render(report), width=300)
    assert "\x1b" not in shown and "[red]" in shown


def test_terminal_tables(full):
    report = build_report(full)
    shown = printed(*render(report))
    for wanted in ("Proven bit-exact", "fc1", "32 × 1", "+8 %", "Fmax", "reference = RTL", "97.11"):
        assert wanted in shown, wanted
    assert "fc3" in printed(design_table(full.root))
    assert "cocotb: random_stalls" in printed(verify_table(samples.verification()))
    assert "Fmax 127.4 MHz" in printed(synth_table(samples.synthesis(full)))
    row = Check(name="x", verb="all", found="—", wanted=">=1", ok=False, hint="pip install x")
    assert "pip install x" in printed(doctor_table([row]))


def test_spikes_in_the_terminal_and_on_the_page(full):
    layers = [
        SpikingLayer(name="hidden", neurons=128, steps=4, rate=0.095, synapses="w0",
                     inputs_active=0.127, synaptic_operations=4177.4, dense_operations=32768,
                     weight_bits=4, spike_bits=1),
        SpikingLayer(name="readout", neurons=10, steps=4, rate=None),
    ]  # fmt: skip
    energy = EnergyModel(name="int8", mac_pj=0.23, add_pj=0.03, spiking_nj=0.14, baseline_nj=2.18)
    spikes = SpikingReport(
        vectors="test split", frames=360, steps=4, layers=layers, bit_budget=16, s_ace=152e3,
        ns_ace=18.7e3, equivalent_bits=3, equivalent_ace=114e3, energy=[energy],
        traces=[Trace(tensor="hidden", kind="spikes", neurons=[3], circuit=[[1]], model=[[1]])],
    )  # fmt: skip
    text = printed(spiking_table(spikes))
    for says in ("9.5 %", "12.7 %", "4,177", "32,768", "Bit Budget 16", "S-ACE 152 k",
                 "NS-ACE 18.7 k", "3-bit quantized network 114 k",
                 "Energy models, not measurements: int8 0.14 nJ"):  # fmt: skip
        assert says in text
    found = build_report(full)
    report = found.model_copy(
        update={"verify": found.verify.model_copy(update={"spiking": spikes})}
    )
    assert "Bit Budget 16" in printed(*render(report))
    assert "hidden" in render_html(report)


def test_branches_and_cycles_have_a_place(full):
    report = build_report(full)
    edges = [
        Edge(source="input", target="fc1", label="1x4 int4"),
        Edge(source="fc1", target="fc2", label="odd"),
        Edge(source="fc1", target="fc3", label=""),
        Edge(source="fc2", target="argmax", label="28x28x1 int4 x 2^-3"),
        Edge(source="fc3", target="argmax", label="int4"),
        Edge(source="argmax", target="fc1", label="loop"),
    ]
    found = picture(report.model_copy(update={"edges": edges}))
    places = [(b.x, b.y) for b in found.boxes]
    assert len(set(places)) == len(places) and len(found.lines) == 6
    assert all(b.x >= 0 and b.x + b.w <= found.width for b in found.boxes)
    assert all(b.y >= 0 and b.y + b.h <= found.height for b in found.boxes)
    assert edge_text("28x28x1 int4 x 2^-3") == ("28 × 28 × 1", "int4", "2⁻³")


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (units.si(1_562_500), "1.56 M"),
        (units.si(999), "999"),
        (units.si(2.5e9), "2.50 G"),
        (units.percent(0.01), "< 0.1 %"),
        (units.percent(0.0), "0 %"),
        (units.signed(-7.4), "−7 %"),
        (units.signed(0.2), "0 %"),
        (units.seconds(190), "3 min 10 s"),
        (units.share(0.97114), "97.11 %"),
    ],
)
def test_units(shown, wanted):
    assert shown == wanted


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
def test_renders_in_chromium(full, tmp_path):
    """The browser's own tree has the content, and the page renders to a picture."""
    page, picture_file = write_report(full), tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    argv = [BROWSER, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1000"]
    dom = subprocess.run(
        [*argv, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Proven bit-exact" in dom.stdout and not re.search(r'(src|href)="http', dom.stdout)
    subprocess.run(
        [*argv, f"--screenshot={picture_file}", page.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert picture_file.stat().st_size > 20_000


def test_events_expected_stand_beside_those_seen(tmp_path):
    activity = Activity(
        silent_ii=20,
        dense_ii=900,
        expected={"fc1": 33.25, "fc2": 0.5},
        origin="measured",
        frames=400,
    )
    changed = samples.manifest().model_copy(update={"activity": activity})
    seen = [
        EventLoad(layer="fc1", expected=33.25, seen=31.4),
        EventLoad(layer="fc2", expected=0.5, seen=0.75),
    ]
    events = EventReport(vectors="test set", frames=450, origin=activity.describe(), layers=seen)
    verify = samples.verification().model_copy(update={"events": events})
    build = samples.make_build(tmp_path / "a", verify=verify, changed=changed)
    text = Page(render_html(build_report(build))).text
    assert "measured on 400 recorded frames" in text and "Seen: 450 frames (test set)" in text
    assert "fc1 33.2 31.4 fc2 0.50 0.75" in text
    out = io.StringIO()
    Console(file=out, width=160).print(*render(build_report(build)))
    assert re.search(r"events a step +measured on 400 recorded frames +seen in 450", out.getvalue())
    assert re.search(r"fc1 +33\.2 +31\.4", out.getvalue())
    silent = samples.make_build(tmp_path / "b", changed=changed)
    assert "fc1 33.2 —" in Page(render_html(build_report(silent))).text
    plain = Page(render_html(build_report(samples.make_build(tmp_path / "c")))).text
    assert "Events planned for" not in plain
