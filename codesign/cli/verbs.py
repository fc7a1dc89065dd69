"""The verbs. Each parses its options, calls one function of the package, prints the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.builddir import BuildDir
from codesign.cli.ui import Json, Quiet, Ui, Verbose
from codesign.errors import MismatchError, UsageError

Build = Annotated[Path, typer.Argument(help="A build folder made by 'codesign generate'.")]

InputFormat = Annotated[
    str | None, typer.Option(help="Codes of an input the file does not quantize: int16:2^-10.")
]


SPIKING = "Spiking networks"


def _spiking(help: str, *names: str) -> Any:
    """An option of ``train --spiking``."""
    return typer.Option(*names, help=help, rich_help_panel=SPIKING)


def train(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(help="digits, or mnist with --data; spiking: edges, poisson, events too."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the QONNX file.")],
    weights: Annotated[int, typer.Option(help="Weight bits.", min=2, max=8)] = 4,
    activations: Annotated[int, typer.Option(help="Activation bits.", min=2, max=8)] = 4,
    layers: Annotated[
        str | None,
        typer.Option("--layers", "--hidden", help="Hidden layer sizes: 32,16; 128 if spiking."),
    ] = None,
    batch_norm: Annotated[bool, typer.Option(help="Batch normalization after each layer.")] = False,
    argmax: Annotated[bool, typer.Option(help="End in the winning class, not logits.")] = False,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples of an update.", min=1)] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of training samples kept back to choose with: 0.1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    data: Annotated[Path | None, typer.Option(help="The .npz of a data set on disk.")] = None,
    spiking: Annotated[bool, _spiking("Train a spiking network.", "--spiking")] = False,
    steps: Annotated[int, _spiking("T, time steps of an input.")] = 4,
    rule: Annotated[str, _spiking("bptt, sltt, sltt-k, ostl, tess or qcfs.")] = "bptt",
    neuron: Annotated[str, _spiking("lif, or a preset: xylo, loihi, spiker, ...")] = "lif",
    encoding: Annotated[str, _spiking("latency, rate, direct; auto: as the data ask.")] = "auto",
    encoder: Annotated[str, _spiking("Who encodes: host, or circuit, in the model.")] = "host",
    readout: Annotated[str, _spiking("membrane, membrane_sum, count or first_spike.")] = "membrane",
    k: Annotated[int | None, _spiking("Steps learned from by sltt-k; T / 4.")] = None,
    grapes: Annotated[bool, _spiking("Scale updates by GRAPES.", "--grapes")] = False,
    activity: Annotated[float, _spiking("What a hidden spike costs (bptt): 0.002.")] = 0.0,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a quantized network by a quick recipe and export it to QONNX.

    Nothing is chosen by the test split. To compare settings, keep training samples back with
    --holdout: the epoch that does best on them is exported, and their accuracy is shown.

    [bold]Examples[/bold]

      codesign train digits --weights 4 --activations 4 -o model.onnx

      codesign train mnist --data mnist.npz --layers 64,64,64 --weights 2 --activations 2
      --batch-norm -o mnist.onnx

      codesign train digits --spiking --steps 4 -o spiking.onnx

      codesign train mnist --spiking --data mnist.npz -o snn.onnx

      codesign train digits --spiking --lr 0.02 --epochs 60 --holdout 0.2 --seed 3 -o tried.onnx
    """
    from codesign.train import recipe

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    course = {"epochs": epochs, "lr": lr, "batch": batch, "holdout": holdout, "seed": seed}
    if spiking:
        if batch_norm or argmax:
            raise UsageError("--batch-norm and --argmax are not for spiking networks")
        options: dict[str, Any] = {
            "steps": steps,
            "rule": rule,
            "neuron": neuron,
            "encoding": encoding,
            "encoder": encoder,
            "readout": readout,
            "grapes": grapes,
            "activity": activity,
            "weights": weights,
            "hidden": _sizes(layers or "128"),
            "k": k,
            **course,
        }
        _train_spiking(ui, dataset, out, data, options)
        return
    _no_spiking_option(context)
    with ui.working(f"training {dataset}"):
        result = recipe.train(
            dataset,
            weights=weights,
            activations=activations,
            hidden=_sizes(layers or "32,16"),
            batch_norm=batch_norm,
            argmax=argmax,
            data=data,
            progress=ui.step,
            **course,
        )
        recipe.save(result, out)
    summary = {
        "model": str(out),
        "float_accuracy": result.float_accuracy,
        "quantized_accuracy": result.quantized_accuracy,
    }
    if result.held_out_accuracy is not None:
        summary["held_out_accuracy"] = result.held_out_accuracy
    ui.result(
        summary,
        f"[bold]{out}[/bold]  {_held_out(result.held_out_accuracy)}"
        f"float {result.float_accuracy:.2%}, "
        f"quantized {result.quantized_accuracy:.2%} on the test split",
    )


def _held_out(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{accuracy:.2%} on held-out training samples, "


def _no_spiking_option(context: typer.Context) -> None:
    """``UsageError`` for an option that would do nothing without ``--spiking``."""
    for option in context.command.params:
        given = context.get_parameter_source(option.name or "")
        panel = getattr(option, "rich_help_panel", None)
        if panel == SPIKING and given is not None and given.name == "COMMANDLINE":
            raise UsageError(f"{option.opts[0]} is for spiking networks", hint="add --spiking")


def _train_spiking(
    ui: Ui, dataset: str, out: Path, data: Path | None, options: dict[str, Any]
) -> None:
    from codesign.train.needs import need

    need("torch")
    from codesign.train.spiking import recipe

    wanted = recipe.SpikingOptions(**options)
    with ui.working(f"training {dataset}"):
        result = recipe.train_spiking(dataset, wanted, data=data, progress=ui.step)
        recipe.save(result, out)
    found = recipe.summary(result)
    spikes = f"{result.input_spikes:.0f} input and {result.hidden_spikes:.0f} hidden spikes"
    ui.result(
        {"model": str(out), **found},
        f"[bold]{out}[/bold]  {_held_out(result.held_out)}{result.accuracy:.2%} on the test split, "
        f"T = {wanted.steps}, a frame has {spikes}",
    )


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise UsageError(f"--layers takes positive sizes like 32,16, got {text!r}")
    return sizes


def check(
    model: Annotated[Path, typer.Argument(help="A QONNX file.")],
    input_format: InputFormat = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List what of a model is supported, each tensor's format and range, and all that blocks.

    Generates nothing. Exit code 0 when the model can be built, else 4.

    [bold]Examples[/bold]

      codesign check model.onnx

      codesign check model.onnx --input-format int16:2^-10 --json
    """
    from codesign import api
    from codesign.cli.check import as_json, tensor_table, verdict

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with ui.working(f"checking {model}"):
        found = api.check(model, input_format=input_format, progress=ui.step)
    ui.result(as_json(found), tensor_table(found), *verdict(found))
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
    unrolled: Annotated[bool, typer.Option("--unrolled", help="One frame a cycle.")] = False,
    config: Annotated[Path | None, typer.Option(help="A plan.toml with your own folding.")] = None,
    input_format: InputFormat = None,
    runtime_weights: Annotated[
        bool, typer.Option("--runtime-weights", help="Weights can be written over AXI4-Lite.")
    ] = False,
    softmax: Annotated[
        str, typer.Option(help="A final Softmax: on the 'host', or 'argmax' instead.")
    ] = "host",
    activity: Annotated[
        float | None,
        typer.Option(help="Event-driven spiking layers, for this share of spikes a step."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Generate RTL for a network. Without a target: the fastest folding that fits the board.

    [bold]Examples[/bold]

      codesign generate model.onnx -o build/ --board ulx3s --target-ii 64

      codesign generate model.onnx -o build/ --unrolled

      codesign generate model.onnx -o build/ --fps 1e6 --clock 100
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
            runtime_weights=runtime_weights,
            softmax=softmax,
            activity=activity,
            progress=ui.step,
        )
    ui.result(design.manifest, design_table(design.path))


def verify(
    build: Build,
    inputs: Annotated[Path | None, typer.Option(help="A .npy of float inputs.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A model whose weights are loaded first.")
    ] = None,
    input_format: InputFormat = None,
    random_frames: Annotated[
        int | None,
        typer.Option("--random", help="Random frames (10,000, or fewer if slow).", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of random vectors and stalls.")] = 1,
    waves: Annotated[bool, typer.Option("--waves", help="Record waveforms (cocotb).")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit results here.")] = None,
    cocotb: Annotated[bool, typer.Option(help="Run the cocotb benches as well.")] = True,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prove the circuit equal to the model: PyTorch = qonnx = reference = RTL.

    [bold]Examples[/bold]

      codesign verify build/

      codesign verify build/ --inputs x.npy --waves --junit results.xml

      codesign verify build/ --weights retrained.onnx
    """
    from codesign.api import Design, describe_failure
    from codesign.report.terminal import verify_table
    from codesign.verify import verify as run
    from codesign.verify.vectors import load_inputs

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    folder = BuildDir.open(build)
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
            progress=ui.step,
        )
    ui.result(report, verify_table(report))
    if not report.ok:
        raise MismatchError(describe_failure(report), where=str(build))


def synth(
    build: Build,
    seed: Annotated[int, typer.Option(help="Placement seed.")] = 1,
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
    folder = BuildDir.open(build)
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
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a GitHub workflow that simulates your network on every push.

    [bold]Example[/bold]

      codesign init-ci models/net.onnx
    """
    from codesign.ci import write_workflow

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    write_workflow(model, out, force=force)
    ui.result({"workflow": str(out)}, f"[bold]{out}[/bold] runs 'codesign verify' on every push")


ALL = (train, check, generate, verify, synth, report, weights, doctor, init_ci)
