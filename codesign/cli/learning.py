"""What a design that learns is generated and verified with: a rule file, labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.ui import Json, Quiet, Ui, Verbose
from codesign.errors import UsageError


def learning_rule(
    model: Annotated[Path, typer.Argument(help="A spiking network (.onnx).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The file to write (.toml or .json).")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a rule file to begin with: how each layer of a network learns on the chip.

    Every choice stands in it, to be changed; see docs/LEARNING.md.

    [bold]Example[/bold]

      codesign learning-rule spiking.onnx -o learning.toml
    """
    from codesign.learnstart import write_rule

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with ui.working(f"reading {model}"):
        rule = write_rule(model, out, force=force)
    layers = ", ".join(rule.layers)
    ui.result({"rule": str(out), "layers": list(rule.layers)}, f"[bold]{out}[/bold]  {layers}")


def learning_data(
    dataset: Annotated[str, typer.Argument(help="digits, mnist or events with --data, edges, ...")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The .npz to write.")],
    steps: Annotated[int, typer.Option(help="T, time steps of an input.", min=1)] = 4,
    encoding: Annotated[str, typer.Option(help="latency or rate; auto: as the data ask.")] = "auto",
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    data: Annotated[Path | None, typer.Option(help="The .npz of a data set on disk.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Write address events.")] = False,
    encoder: Annotated[
        str, typer.Option(help="circuit: write codes, which a circuit with an encoder reads.")
    ] = "host",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a data set as labelled frames of spikes, encoded as 'codesign train --spiking' does.

    [bold]Example[/bold]

      codesign learning-data digits --steps 4 -o digits.npz

      codesign learning-data events --data camera.npz --steps 8 --events -o lessons.npz
    """
    from codesign.train.spiking.lessons import save_lessons

    if encoder not in ("host", "circuit"):
        raise UsageError(f"the encoder is in the 'host' or the 'circuit', got '{encoder}'")
    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with ui.working(f"encoding {dataset}"):
        counts = save_lessons(
            dataset,
            out,
            steps=steps,
            encoding=encoding,
            seed=seed,
            data=data,
            events=events,
            codes=encoder == "circuit",
        )
    text = (
        f"[bold]{out}[/bold]  {counts['frames']} frames to learn, {counts['test_frames']} to test"
    )
    ui.result({"data": str(out), **counts}, text)


ALL = (learning_rule, learning_data)
