"""Small hand-written designs as build folders: an unrolled and a folded two-layer network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from codesign.builddir import BuildDir
from codesign.manifest import BoardInfo, Manifest, Port, Tap
from codesign.schema import Cost


@dataclass(frozen=True)
class Dense:
    """A matrix as a stream component: signed codes in and out, one or several beats."""

    weights: np.ndarray
    in_bits: int
    out_bits: int
    in_lanes: int
    out_lanes: int

    @property
    def folded(self) -> bool:
        return self.in_lanes < self.weights.shape[1] or self.out_lanes < self.weights.shape[0]

    def execute(self, codes: np.ndarray) -> np.ndarray:
        return codes @ self.weights.T


def _term(weight: int, expression: str, bits: int) -> str:
    return (
        f"({bits}'sd{abs(weight)} * {expression})"
        if weight >= 0
        else (f"(-({bits}'sd{abs(weight)} * {expression}))")
    )


def verilog_unrolled(name: str, d: Dense) -> str:
    rows, cols = d.weights.shape
    iw, ow = d.in_bits, d.out_bits
    x = "".join(
        f"  wire signed [{iw - 1}:0] x{c} = i__payload[{c * iw + iw - 1}:{c * iw}];\n"
        for c in range(cols)
    )
    y = "".join(
        f"  wire signed [{ow - 1}:0] y{r} = "
        + " + ".join(_term(int(w), f"x{c}", ow) for c, w in enumerate(d.weights[r]))
        + ";\n"
        for r in range(rows)
    )
    out = ", ".join(f"y{r}" for r in reversed(range(rows)))
    return f"""module {name}(input clk, input rst,
  input i__valid, output i__ready, input [{cols * iw}:0] i__payload,
  output reg o__valid, input o__ready, output reg [{rows * ow}:0] o__payload);
{x}{y}  wire ce = ~o__valid | o__ready;
  assign i__ready = ce;
  always @(posedge clk)
    if (rst) o__valid <= 0;
    else if (ce) begin o__valid <= i__valid; o__payload <= {{i__payload[{cols * iw}], {out}}}; end
endmodule
"""


def verilog_folded(name: str, d: Dense) -> str:
    rows, cols = d.weights.shape
    iw, ow, li, lo = d.in_bits, d.out_bits, d.in_lanes, d.out_lanes
    ib, ob = -(-cols // li), -(-rows // lo)
    acc = "".join(f"  reg signed [{ow - 1}:0] acc{r};\n" for r in range(rows))
    x = "".join(
        f"  wire signed [{iw - 1}:0] x{k} = i__payload[{k * iw + iw - 1}:{k * iw}];\n"
        for k in range(li)
    )
    clear = " ".join(f"acc{r} <= 0;" for r in range(rows))
    steps = ""
    for beat in range(ib):
        sums = ""
        for r in range(rows):
            terms = [
                _term(int(d.weights[r, beat * li + k]), f"x{k}", ow)
                for k in range(li)
                if beat * li + k < cols
            ]
            sums += f" acc{r} <= acc{r} + {' + '.join(terms)};"
        steps += f"        {beat}: begin{sums} end\n"
    outs = ""
    for beat in range(ob):
        lanes = [f"acc{beat * lo + k}" if beat * lo + k < rows else f"{ow}'sd5" for k in range(lo)]
        outs += f"      {beat}: data = {{{', '.join(reversed(lanes))}}};\n"
    return f"""module {name}(input clk, input rst,
  input i__valid, output i__ready, input [{li * iw}:0] i__payload,
  output o__valid, input o__ready, output [{lo * ow}:0] o__payload);
{acc}{x}  reg [15:0] beat; reg emit; reg [{lo * ow - 1}:0] data;
  assign i__ready = ~emit;
  assign o__valid = emit;
  assign o__payload = {{beat == {ob - 1}, data}};
  always @* begin data = 0; case (beat)
{outs}  endcase end
  always @(posedge clk)
    if (rst) begin beat <= 0; emit <= 0; {clear} end
    else if (emit) begin
      if (o__ready) begin beat <= beat + 1;
        if (beat == {ob - 1}) begin beat <= 0; emit <= 0; {clear} end end
    end else if (i__valid) begin
      beat <= beat + 1;
      case (beat)
{steps}      endcase
      if (beat == {ib - 1}) begin beat <= 0; emit <= 1; end
    end
endmodule
"""


def _bytes(bits: int) -> int:
    return -(-bits // 8) * 8


def verilog_top(names: list[str], layers: list[Dense]) -> str:
    first, last = layers[0], layers[-1]
    ib, ob = first.in_lanes * first.in_bits, last.out_lanes * last.out_bits
    beats = -(-first.weights.shape[1] // first.in_lanes)
    wires, chain = "", "i"
    for name, d in zip(names, layers, strict=True):
        w = d.out_lanes * d.out_bits
        wires += f"  wire {name}_v, {name}_r; wire [{w}:0] {name}_p;\n"
        wires += (
            f"  {name} {name} (.clk(clk), .rst(rst), .i__valid({chain}_v), .i__ready({chain}_r), "
            f".i__payload({chain}_p), .o__valid({name}_v), .o__ready({name}_r), "
            f".o__payload({name}_p));\n"
        )
        chain = name
    return f"""module network(input clk, input rst, input i_v, output i_r, input [{ib}:0] i_p,
  output o_v, input o_r, output [{ob}:0] o_p);
{wires}  assign o_v = {chain}_v; assign {chain}_r = o_r; assign o_p = {chain}_p;
endmodule
module codesign_top(input aclk, input aresetn,
  input [{_bytes(ib) - 1}:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
  input s_axis_tlast,
  output reg [{_bytes(ob) - 1}:0] m_axis_tdata, output reg m_axis_tvalid, input m_axis_tready,
  output reg m_axis_tlast);
  wire rst = ~aresetn;
  reg v; reg [{ib}:0] p; reg [15:0] count; wire r;
  wire o_v; wire [{ob}:0] o_p;
  wire in_ce = ~v | r;
  wire out_ce = ~m_axis_tvalid | m_axis_tready;
  assign s_axis_tready = in_ce;
  network network (.clk(aclk), .rst(rst), .i_v(v), .i_r(r), .i_p(p), .o_v(o_v), .o_r(out_ce),
    .o_p(o_p));
  always @(posedge aclk)
    if (rst) begin v <= 0; count <= 0; m_axis_tvalid <= 0; end
    else begin
      if (in_ce) begin
        v <= s_axis_tvalid; p <= {{count == {beats - 1}, s_axis_tdata[{ib - 1}:0]}};
        if (s_axis_tvalid) count <= count == {beats - 1} ? 0 : count + 1;
      end
      if (out_ce) begin
        m_axis_tvalid <= o_v; m_axis_tdata <= o_p[{ob - 1}:0]; m_axis_tlast <= o_p[{ob}];
      end
    end
endmodule
"""


def _port(tensor: str, elements: int, lanes: int, bits: int, *, axis: bool) -> Port:
    return Port(
        tensor=tensor,
        elements=elements,
        lanes=lanes,
        bits=bits,
        signed=True,
        lo=-(1 << (bits - 1)),
        hi=(1 << (bits - 1)) - 1,
        data_bits=_bytes(lanes * bits) if axis else lanes * bits,
    )


@dataclass(frozen=True)
class Design:
    """A build folder with vectors and the codes expected at every boundary."""

    build: BuildDir
    inputs: np.ndarray
    expected: dict[str, np.ndarray]

    def edit_rtl(self, old: str, new: str) -> Design:
        """This design with a fault put into its Verilog."""
        path = self.build.root / "rtl" / "top.v"
        text = path.read_text()
        assert text.count(old) >= 1, old
        path.write_text(text.replace(old, new, 1))
        return self

    def edit_manifest(self, **changes: object) -> Design:
        manifest = self.build.manifest.model_copy(update=changes)
        self.build.write("manifest.json", manifest)
        return self

    def with_frames(self, frames: int) -> Design:
        return replace(
            self,
            inputs=self.inputs[:frames],
            expected={k: v[:frames] for k, v in self.expected.items()},
        )


def make_design(
    root: Path, layers: list[Dense], *, latency: int, ii: int, frames: int = 200
) -> Design:
    names = [f"fc{k + 1}" for k in range(len(layers))]
    (root / "rtl").mkdir(parents=True)
    text = "".join(
        (verilog_folded if d.folded else verilog_unrolled)(n, d)
        for n, d in zip(names, layers, strict=True)
    )
    (root / "rtl" / "top.v").write_text(text + verilog_top(names, layers))
    first = layers[0]
    codes = np.random.default_rng(7).integers(
        -(1 << (first.in_bits - 1)), 1 << (first.in_bits - 1), (frames, first.weights.shape[1])
    )
    inputs, expected, taps = codes, {}, []
    for name, d in zip(names, layers, strict=True):
        codes = d.execute(codes)
        expected[name] = codes
        port = _port(name, d.weights.shape[0], d.out_lanes, d.out_bits, axis=False)
        taps.append(Tap(port=port, path=["network", name]))
    last = layers[-1]
    manifest = Manifest(
        name="stub",
        rtl=["top.v"],
        input=_port("x", first.weights.shape[1], first.in_lanes, first.in_bits, axis=True),
        output=_port(names[-1], last.weights.shape[0], last.out_lanes, last.out_bits, axis=True),
        taps=taps,
        layers=[],
        edges=[],
        latency=latency,
        ii=ii,
        board=BoardInfo(
            name="none",
            family="ecp5",
            device="none",
            package="none",
            speed="6",
            capacity=Cost(),
            clock_mhz=100.0,
        ),
        target="rtl",
        model_sha256="0" * 64,
        versions={},
    )
    build = BuildDir(root)
    build.write("manifest.json", manifest)
    return Design(build, inputs, expected)


W1 = np.array([[1, -2, 3, 0], [4, 5, -6, 7], [-8, 1, 0, 2]])
W2 = np.array([[1, -1, 2], [3, 0, -2]])
F1 = np.array([[1, -2, 3, 0, 2], [4, 5, -6, 7, -1], [-8, 1, 0, 2, 3]])


@pytest.fixture
def unrolled(tmp_path: Path) -> Design:
    """4 → 3 → 2, one beat a frame, a register per layer."""
    layers = [Dense(W1, 4, 10, 4, 3), Dense(W2, 10, 15, 3, 2)]
    return make_design(tmp_path / "unrolled", layers, latency=4, ii=1)


@pytest.fixture
def folded(tmp_path: Path) -> Design:
    """5 → 3 → 2 with two lanes: three beats in, padding in the last, II of 5."""
    layers = [Dense(F1, 4, 10, 2, 2), Dense(W2, 10, 15, 2, 1)]
    return make_design(tmp_path / "folded", layers, latency=8, ii=5)


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """An empty cache folder for tests of the cache itself."""
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "cache"))
    return lambda: tmp_path / "cache"
