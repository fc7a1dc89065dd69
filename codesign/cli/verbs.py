"""The verbs. Each parses its options, calls one function of the package, prints the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from codesign.builddir import BuildDir
from codesign.cli.train import train
from codesign.cli.ui import Json, Quiet, Ui, Verbose
from codesign.errors import MismatchError, UsageError

if TYPE_CHECKING:
    from codesign.passes.expected import Activity

Build = Annotated[Path, typer.Argument(help="A build folder made by 'codesign generate'.")]

InputFormat = Annotated[
    str | None,
    typer.Option(
        help="Codes of an input the file does not quantize: int16:2^-10, uint8:0.037:128 (zero "
        "point), int8:2^-7:narrow, bipolar, ternary, bool, a scale per channel: uint8:0.1,0.2."
    ),
]

OutputFormat = Annotated[
    str | None,
    typer.Option(
        help="Put a quantizer at the end of the model, so that the circuit computes it all: "
        "int16:2^-8; forms as of --input-format."
    ),
]


def check(
    model: Annotated[Path, typer.Argument(help="A QONNX file.")],
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List what of a model is supported, each tensor's format and range, and all that blocks.

    Of a spiking or recurrent network also what a step does: weights, neurons and their states,
    what goes from step to step, encoder and readout.
    Generates nothing. Exit code 0 when the model can be built, else 4.

    [bold]Examples[/bold]

      codesign check model.onnx

      codesign check model.onnx --input-format int16:2^-10 --json
    """
    from codesign import api
    from codesign.cli.check import as_json, tensor_table, verdict
    from codesign.cli.check_loops import inside
    from codesign.report.terminal import remains_line

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with ui.working(f"checking {model}"):
        found = api.check(
            model, input_format=input_format, output_format=output_format, progress=ui.step
        )
    first = [remains_line(found.host)] if found.supported else []
    ui.result(as_json(found), *first, tensor_table(found), *inside(found.survey), *verdict(found))
    if not found.supported:
        raise typer.Exit(4)


def generate(
    model: Annotated[Path, typer.Argument(help="A QONNX file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The build folder to write.")],
    board: Annotated[str, typer.Option(help="Target board.")] = "ulx3s",
    target_ii: Annotated[int | None, typer.Option(help="At most N cycles a frame.")] = None,
    fps: Annotated[float | None, typer.Option(help="At least this many frames a second.")] = None,
    clock: Annotated[float | None, typer.Option(help="Clock in MHz, for --fps.")] = None,
    smallest: Annotated[bool, typer.Option("--smallest", help="One multiplier a layer.")] = False,
    unrolled: Annotated[
        bool, typer.Option("--unrolled", help="One vector a cycle: a frame, or a pixel of it.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="A plan.toml with your own folding.")] = None,
    input_format: InputFormat = None,
    output_format: OutputFormat = None,
    runtime_weights: Annotated[
        bool, typer.Option("--runtime-weights", help="Weights can be written over AXI4-Lite.")
    ] = False,
    softmax: Annotated[
        str, typer.Option(help="A final Softmax: on the 'host', or 'argmax' instead.")
    ] = "host",
    activity: Annotated[
        str | None,
        typer.Option(
            help="Event-driven spiking layers, for this share of spikes a step, or 'measured': "
            "layer by layer, as in the frames recorded beside the model."
        ),
    ] = None,
    learn: Annotated[
        Path | None, typer.Option(help="A rule by which layers learn on the chip (TOML or JSON).")
    ] = None,
    input: Annotated[
        str, typer.Option(help="The input port: 'dense' beats, or address 'events' (AER).")
    ] = "dense",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Generate RTL for a network. Without a target: the fastest folding that fits the board.

    [bold]Examples[/bold]

      codesign generate model.onnx -o build/ --board ulx3s --target-ii 64

      codesign generate model.onnx -o build/ --unrolled

      codesign generate model.onnx -o build/ --fps 1e6 --clock 100

      codesign generate model.onnx -o build/ --output-format int16:2^-8

      codesign generate spiking.onnx -o build/ --learn learning.toml

      codesign generate spiking.onnx -o build/ --target-ii 400 --activity measured

      codesign generate spiking.onnx -o build/ --target-ii 400 --activity 0.2 --input events
    """
    from codesign import api
    from codesign.report.terminal import design_table

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with ui.working(f"generating {out}"):
        design = api.generate(
            model,
            out,
            board=board,
            target_ii=target_ii,
            fps=fps,
            clock_mhz=clock,
            smallest=smallest,
            unrolled=unrolled,
            config=config,
            input_format=input_format,
            output_format=output_format,
            runtime_weights=runtime_weights,
            softmax=softmax,
            activity=_activity(activity),
            learn=learn,
            input=input,
            progress=ui.step,
        )
    ui.result(design.manifest, design_table(design.path))


def _activity(given: str | None) -> Activity | None:
    """A share of spikes, ``measured`` or None."""
    if given is None or given == "measured":
        return given  # type: ignore[return-value]
    try:
        return float(given)
    except ValueError:
        raise UsageError(
            f"--activity is a share of spikes or 'measured', got '{given}'",
            hint="--activity 0.05, or --activity measured",
        ) from None


def verify(
    build: Build,
    inputs: Annotated[
        Path | None, typer.Option(help="A .npy of float inputs, or an .npz of events.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A model whose weights are loaded first.")
    ] = None,
    input_format: InputFormat = None,
    random_frames: Annotated[
        int | None,
        typer.Option("--random", help="Random frames (10,000, or fewer if slow).", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random vectors and stalls.", min=0)] = 1,
    waves: Annotated[
        bool,
        typer.Option(
            "--waves", help="Keep a waveform of few frames (cocotb): sim/dump.fst, or .vcd."
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit results here.")] = None,
    cocotb: Annotated[bool, typer.Option(help="Run the cocotb benches as well.")] = True,
    data: Annotated[
        Path | None, typer.Option(help="Labelled frames (.npz) for a design that learns.")
    ] = None,
    passes: Annotated[int, typer.Option(help="Passes over them of the training run.", min=1)] = 1,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prove the circuit equal to the model: PyTorch = qonnx = reference = RTL.

    [bold]Examples[/bold]

      codesign verify build/

      codesign verify build/ --inputs x.npy --waves --junit results.xml

      codesign verify build/ --weights retrained.onnx

      codesign verify build/ --data digits.npz --passes 3
    """
    from codesign.api import Design, describe_failure
    from codesign.report.build import build_report
    from codesign.report.terminal import event_table, learning_table, verify_table
    from codesign.sim.waves import found_waves
    from codesign.verify import verify as run
    from codesign.verify.vectors import load_inputs

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with BuildDir.open(build).reading() as folder:
        array = load_inputs(inputs) if inputs is not None else None
        loaded = None
        if weights is not None:
            loaded = Design(build).load_weights(weights, input_format=input_format)
        with ui.working(f"verifying {build}"):
            report = run(
                folder,
                inputs=array,
                weights=loaded,
                random_frames=random_frames,
                seed=seed,
                waves=waves,
                junit=junit,
                cocotb=cocotb,
                data=data,
                passes=passes,
                progress=ui.step,
            )
        more = [learning_table(report.learning)] if report.learning else []
        more += [event_table(build_report(folder))] if report.events else []
        more += [escape(f"\n{found_waves(folder)}")] if waves and cocotb else []
    ui.result(report, verify_table(report), *more)
    if not report.ok:
        raise MismatchError(describe_failure(report), where=str(build))


def synth(
    build: Build,
    seed: Annotated[int, typer.Option(help="Placement seed.", min=0)] = 1,
    cache: Annotated[bool, typer.Option(help="Reuse results of the same RTL and tools.")] = True,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Synthesise, place and route for the design's board, with open tools from wheels.

    [bold]Example[/bold]

      codesign synth build/
    """
    from codesign.api import Design
    from codesign.report.terminal import synth_table

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    BuildDir.open(build)
    with ui.working(f"synthesising {build}"):
        result = Design(build).synth(seed=seed, use_cache=cache, progress=ui.step)
    ui.result(result, synth_table(result))


def report(
    build: Build, json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Show all that is known of a design, and write it as JSON and one HTML page.

    [bold]Example[/bold]

      codesign report build/
    """
    from codesign.report import build_report, write_report
    from codesign.report.terminal import render

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with BuildDir.open(build).reading() as folder:
        model = build_report(folder)
        page = write_report(folder)
    ui.result(model, *render(model), f"\nreport: [bold]{page}[/bold]")


def doctor(json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Check that every tool is there and new enough; says how to install what is missing.

    [bold]Example[/bold]

      codesign doctor
    """
    from codesign.report.terminal import doctor_table
    from codesign.toolchain.doctor import check_all

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    rows = check_all()
    ui.result({"checks": [row.model_dump() for row in rows]}, doctor_table(rows))
    if not all(row.ok for row in rows):
        raise typer.Exit(3)


def weights(
    build: Build,
    model: Annotated[Path, typer.Argument(help="The same network with other weights.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write: .json or .bin.")],
    input_format: InputFormat = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write the AXI4-Lite transfers that load another model's weights into a design.

    The design must be generated with --runtime-weights; only weights may differ.

    [bold]Example[/bold]

      codesign weights build/ retrained.onnx -o weights.json
    """
    from codesign.api import Design

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    BuildDir.open(build)
    with ui.working(f"packing {model}"):
        found = Design(build).load_weights(model, input_format=input_format)
        found.save(out)
    text = f"[bold]{out}[/bold]  {len(found.writes)} writes of 32 bits"
    ui.result({"weights": str(out), "writes": len(found.writes)}, text)


def init_ci(
    model: Annotated[Path, typer.Argument(help="The QONNX file in your repository.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The workflow file to write.")] = Path(
        ".github/workflows/codesign.yml"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    install: Annotated[
        str, typer.Option(help="What pip installs there; by default what was installed here.")
    ] = "",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a GitHub workflow that simulates your network on every push.

    Run it at the top of your repository. PyTorch's recorded results (MODEL.golden.npz) belong into
    the repository, too: without them the proof starts at qonnx.

    [bold]Example[/bold]

      codesign init-ci models/net.onnx
    """
    from codesign.ci import write_workflow

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    golden = write_workflow(model, out, force=force, install=install)
    text = f"[bold]{out}[/bold] runs 'codesign verify' on every push; commit {golden} as well"
    if not golden.is_file():
        text = f"[bold]{out}[/bold] runs 'codesign verify' on every push, from qonnx on: "
        text += f"{golden}, PyTorch's recorded results, does not exist"
    ui.result({"workflow": str(out), "golden": str(golden)}, text)


ALL = (train, check, generate, verify, synth, report, weights, doctor, init_ci)
