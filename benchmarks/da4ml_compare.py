"""LUTs and registers of an unrolled MLP: ours against da4ml, same weights, formats and cycles.

    python benchmarks/da4ml_compare.py [--weights net.npz] [--stages 10] [--json out.json]

The network: uint4 inputs, dense layers of 4-bit weights with integer biases, in between ReLU and
requantization to uint4 by a power of two (`shift`), the last layer's accumulators are the output.
da4ml rounds half-up; ours is built with half-up and with half-to-even. Both sides are checked
against numpy, then synthesised by the same `synth_ecp5`, each in a process of its own.
An npz holds `w0, b0, shift0, w1, ...`: weights int [N, K], biases int [N], shifts int.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from codesign.hdl.requant import Requant, ShiftRound
from codesign.hdl.stream import range_shape, stream_signature
from codesign.hdl.top import to_verilog
from codesign.hdl.unrolled import UnrolledMatVec

IN_HI = CODE_HI = 15


@dataclass(frozen=True)
class Layer:
    """`weights [N, K]`, `bias [N]`, `shift`: `None` for the last layer."""

    weights: np.ndarray
    bias: np.ndarray
    shift: int | None


def random_network(seed: int, sizes: tuple[int, ...] = (64, 32, 16, 10)) -> list[Layer]:
    """Weights in -7..7, roughly normal, biases of the size training gives them."""
    rng = np.random.default_rng(seed)
    layers = []
    for i, (k, n) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        weights = np.clip(np.rint(rng.normal(0, 2.5, (n, k))), -7, 7).astype(np.int64)
        bias = rng.integers(-60, 61, n)
        layers.append(Layer(weights, bias, None if i == len(sizes) - 2 else 5))
    return layers


def load_network(path: Path) -> list[Layer]:
    data = np.load(path, allow_pickle=False)
    count = sum(name.startswith("w") for name in data)
    return [
        Layer(
            data[f"w{i}"].astype(np.int64),
            data[f"b{i}"].astype(np.int64),
            int(data[f"shift{i}"]) if f"shift{i}" in data else None,
        )
        for i in range(count)
    ]


def golden(layers: list[Layer], x: np.ndarray, rounding: str) -> np.ndarray:
    """`x [S, K]` codes → accumulators `[S, N]` of the last layer."""
    for layer in layers:
        x = x @ layer.weights.T + layer.bias
        if layer.shift is not None:
            scaled = x / 2.0**layer.shift
            x = np.floor(scaled + 0.5) if rounding == "half_up" else np.rint(scaled)
            x = np.clip(x, 0, CODE_HI).astype(np.int64)
    return x


class InputRegister(wiring.Component):
    """One register, as da4ml has at its input."""

    def __init__(self, lanes: int) -> None:
        signature = stream_signature(range_shape(0, IN_HI), lanes)
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform) -> Module:
        m = Module()
        ce = Signal()
        m.d.comb += [ce.eq(~self.o.valid | self.o.ready), self.i.ready.eq(ce)]
        with m.If(ce):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class Network(wiring.Component):
    """Input register, then the layers; `depths[i]` pipeline stages for layer i's product."""

    def __init__(self, layers: list[Layer], depths: list[int], rounding: str) -> None:
        self.parts: list[tuple[str, wiring.Component]] = []
        self.parts.append(("input", InputRegister(layers[0].weights.shape[1])))
        for i, (layer, depth) in enumerate(zip(layers, depths, strict=True)):
            self._add_layer(i, layer, depth, rounding)
        super().__init__(
            {
                "i": In(self.parts[0][1].i.signature.flip()),
                "o": Out(self.parts[-1][1].o.signature),
            }
        )

    def _add_layer(self, i: int, layer: Layer, depth: int, rounding: str) -> None:
        """The rounding constant travels with the bias, into free carry-ins of the graph."""
        half = 0 if layer.shift is None else 1 << layer.shift - 1
        product = UnrolledMatVec(
            layer.weights, in_lo=0, in_hi=IN_HI, bias=layer.bias + half, depth=depth
        )
        self.parts.append((f"dense{i}", product))
        if layer.shift is None:
            return
        lanes = len(layer.weights)
        requant = Requant(
            ShiftRound(np.array([-half]), layer.shift, rounding),
            in_lo=product.acc_lo,
            in_hi=product.acc_hi,
            out_lo=0,
            out_hi=CODE_HI,
            channels=lanes,
            lanes=lanes,
        )
        self.parts.append((f"requant{i}", requant))

    def elaborate(self, platform) -> Module:
        m = Module()
        previous = wiring.flipped(self.i)
        for name, part in self.parts:
            m.submodules[name] = part
            wiring.connect(m, previous, part.i)
            previous = part.o
        wiring.connect(m, previous, wiring.flipped(self.o))
        return m

    @property
    def latency(self) -> int:
        """Registers from input to output."""
        own = [p.depth if isinstance(p, UnrolledMatVec) else 1 for _, p in self.parts]
        return sum(own)


def split_depths(layers: list[Layer], registers: int) -> list[int]:
    """Share `registers` (all of ours but the input's and the requantizers') between layers,
    always to the layer whose slowest stage is slowest."""
    from codesign.hdl.adders.schedule import schedule
    from codesign.hdl.adders.solve import solve

    graphs = [solve(layer.weights, 0, IN_HI) for layer in layers]
    depths = [1] * len(layers)
    spare = registers - len(layers) - (len(layers) - 1) - 1
    if spare < 0:
        raise ValueError(f"{len(layers)} layers need {registers - spare} cycles, got {registers}")
    for _ in range(spare):
        slow = [schedule(g, d).delay_ns for g, d in zip(graphs, depths, strict=True)]
        depths[int(np.argmax(slow))] += 1
    return depths


def simulate(network: Network, x: np.ndarray) -> np.ndarray:
    """Back-to-back frames `x [S, K]` through the Amaranth simulator."""
    results: list[list[int]] = []

    async def bench(ctx):
        ctx.set(network.o.ready, 1)
        for row in [*x, *[None] * network.latency]:
            ctx.set(network.i.valid, row is not None)
            for lane, code in enumerate(row if row is not None else ()):
                ctx.set(network.i.payload.data[lane], int(code))
            if ctx.get(network.o.valid):
                lanes = network.o.payload.shape()["data"].shape.length
                results.append([ctx.get(network.o.payload.data[j]) for j in range(lanes)])
            await ctx.tick()
        if ctx.get(network.o.valid):
            lanes = network.o.payload.shape()["data"].shape.length
            results.append([ctx.get(network.o.payload.data[j]) for j in range(lanes)])

    sim = Simulator(network)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return np.array(results)


def build_ours(layers: list[Layer], depths: list[int], rounding: str, folder: Path) -> dict:
    begin = time.perf_counter()
    network = Network(layers, depths, rounding)
    text = to_verilog(network, f"ours_{rounding}")
    seconds = time.perf_counter() - begin
    path = folder / f"ours_{rounding}.v"
    path.write_text(text)
    adders = sum(p.graph.adders for _, p in network.parts if isinstance(p, UnrolledMatVec))
    x = np.random.default_rng(7).integers(0, IN_HI + 1, (64, layers[0].weights.shape[1]))
    if not np.array_equal(
        simulate(Network(layers, depths, rounding), x), golden(layers, x, rounding)
    ):
        raise SystemExit(f"ours ({rounding}) differs from numpy")
    return {
        "cycles": network.latency,
        "adders": adders,
        "generate_s": seconds,
        **synthesise([path], f"ours_{rounding}"),
    }


def trace_da4ml(layers: list[Layer]):
    """The same network as da4ml users write it; ReLU first, then saturation: its cheapest way."""
    from da4ml.trace import FixedVariableArrayInput, comb_trace

    inputs = FixedVariableArrayInput(layers[0].weights.shape[1])
    x = inputs.quantize(0, 4, 0)
    for layer in layers:
        x = x @ layer.weights.T.astype(np.float64) + layer.bias.astype(np.float64)
        if layer.shift is not None:
            x = (x * 2.0**-layer.shift).relu(None, 0, "RND").quantize(0, 4, 0, "SAT", "TRN")
    return comb_trace(inputs, x)


def build_da4ml(layers: list[Layer], cycles: int, folder: Path) -> dict:
    """da4ml at the `latency_cutoff` that gives `cycles` registers (its input's included)."""
    from da4ml.codegen import VerilogModel
    from da4ml.trace import to_pipeline

    begin = time.perf_counter()
    comb = trace_da4ml(layers)
    longest = int(max(comb.latency))
    pipes = (to_pipeline(comb, cutoff, verbose=False) for cutoff in range(1, longest + 2))
    pipe = next(p for p in pipes if len(p.solutions) < cycles)
    VerilogModel(pipe, "da4ml_net", folder / "da4ml").write()
    seconds = time.perf_counter() - begin
    x = np.random.default_rng(7).integers(0, IN_HI + 1, (4096, layers[0].weights.shape[1]))
    if not np.array_equal(comb.predict(x.astype(np.float64)), golden(layers, x, "half_up")):
        raise SystemExit("da4ml differs from numpy")
    sources = sorted((folder / "da4ml/src").glob("da4ml_net*.v"))
    sources = [s for s in sources if "wrapper" not in s.name]
    static = (folder / "da4ml/src/static").glob("*.v")
    sources += [s for s in static if s.name != "lookup_table.v"]
    return {
        "cycles": len(pipe.solutions) + 1,
        "adders": sum(op.opcode in (0, 1, 4) for op in comb.ops),
        "generate_s": seconds,
        **synthesise(sources, "da4ml_net"),
    }


SYNTH = """
import sys
from pyosys import libyosys as ys
out, top, *files = sys.argv[1:]
design = ys.Design()
for name in files:
    ys.run_pass(f"read_verilog {name}", design)
ys.run_pass(f"tee -q -o /dev/null synth_ecp5 -top {top} -json {out}.netlist", design)
ys.run_pass(f"tee -q -o {out} stat -json", design)
"""


def synthesise(files: list[Path], top: str) -> dict:
    """`synth_ecp5` in a process of its own; LUTs are LUT4 + 2 CCU2C."""
    out = files[0].parent / f"{top}.stat.json"
    begin = time.perf_counter()
    command = [sys.executable, "-c", SYNTH, str(out), top, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"yosys failed on {top}: {(done.stdout + done.stderr)[-800:]}")
    cells = json.loads(out.read_text())["design"]["num_cells_by_type"]
    lut4, carry = cells.get("LUT4", 0), cells.get("CCU2C", 0)
    return {
        "luts": lut4 + 2 * carry,
        "lut4": lut4,
        "ccu2c": carry,
        "ffs": cells.get("TRELLIS_FF", 0),
        "synth_s": time.perf_counter() - begin,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="npz with w0, b0, shift0, w1, ...")
    parser.add_argument("--seed", type=int, default=0, help="seed of random weights")
    parser.add_argument("--cycles", type=int, default=10, help="registers from input to output")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--keep", type=Path, help="keep the Verilog in this folder")
    args = parser.parse_args()
    layers = load_network(args.weights) if args.weights else random_network(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        rows = {"da4ml half_up": build_da4ml(layers, args.cycles, folder)}
        depths = split_depths(layers, rows["da4ml half_up"]["cycles"])
        for rounding in ("half_up", "half_even"):
            rows[f"ours {rounding}"] = build_ours(layers, depths, rounding, folder)
    columns = ("cycles", "adders", "luts", "lut4", "ccu2c", "ffs", "generate_s", "synth_s")
    print(f"{'':16}" + "".join(f"{c:>12}" for c in columns))
    for name, row in rows.items():
        cells = (f"{row[c]:12.1f}" if c.endswith("_s") else f"{row[c]:12d}" for c in columns)
        print(f"{name:16}" + "".join(cells))
    print(f"depths of our products: {depths}")
    if args.json:
        args.json.write_text(json.dumps({"depths": depths, **rows}, indent=1))


if __name__ == "__main__":
    main()
