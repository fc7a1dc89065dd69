"""``codesign train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from codesign.cli.ui import Json, Quiet, Ui, Verbose
from codesign.errors import UsageError

SPIKING = "Spiking networks"
#: For --encoding, beside events, which need none.
ENCODINGS = ("latency", "rate", "direct", "delta", "binary", "ternary", "bitwise")


def _spiking(help: str, *names: str) -> Any:
    """An option of ``train --spiking``."""
    return typer.Option(*names, help=help, rich_help_panel=SPIKING)


def train(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            help="digits, or mnist with --data; spiking: edges, poisson, events, waves, signals."
        ),
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
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    data: Annotated[Path | None, typer.Option(help="The .npz of a data set on disk.")] = None,
    spiking: Annotated[bool, _spiking("Train a spiking network.", "--spiking")] = False,
    steps: Annotated[int, _spiking("T, time steps of an input.")] = 4,
    rule: Annotated[str, _spiking("bptt, sltt, sltt-k, ostl, tess or qcfs.")] = "bptt",
    neuron: Annotated[str, _spiking("lif, or a preset: xylo, loihi, spiker, ...")] = "lif",
    decay: Annotated[
        float | None, _spiking("What a step leaves of a hidden membrane: 0.875.")
    ] = None,
    recurrent: Annotated[
        bool, _spiking("Hidden layers hear their own spikes of the step before.", "--recurrent")
    ] = False,
    encoding: Annotated[str, _spiking(f"{', '.join(ENCODINGS)}; auto: as the data ask.")] = "auto",
    encoder: Annotated[str, _spiking("Who encodes: host, or circuit, in the model.")] = "host",
    input_bits: Annotated[int | None, _spiking("Bits of an input code, 1 to 16.")] = None,
    low: Annotated[
        int | None, _spiking("Least code that spikes (latency), or change (delta).")
    ] = None,
    readout: Annotated[
        str, _spiking("membrane, membrane_sum, count, first_spike or bessel_last.")
    ] = "membrane",
    order: Annotated[int, _spiking("Of the Bessel filter: 2, 4, ...")] = 2,
    cutoff: Annotated[float, _spiking("Of the Bessel filter, a share of half a step rate.")] = 0.25,
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

      codesign train waves --spiking --steps 12 --encoder circuit --readout bessel_last -o wave.onnx

      codesign train digits --spiking --lr 0.02 --epochs 60 --holdout 0.2 --seed 3 -o tried.onnx
    """
    from codesign.train import recipe

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    course: dict[str, Any] = {
        "epochs": epochs,
        "lr": lr,
        "batch": batch,
        "holdout": holdout,
        "seed": seed,
    }
    if spiking:
        if batch_norm or argmax:
            raise UsageError("--batch-norm and --argmax are not for spiking networks")
        options: dict[str, Any] = {
            "steps": steps,
            "rule": rule,
            "neuron": neuron,
            "decay": decay,
            "recurrent": recurrent,
            "encoding": encoding,
            "encoder": encoder,
            "input_bits": input_bits,
            "low": low,
            "readout": readout,
            "order": order,
            "cutoff": cutoff,
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
