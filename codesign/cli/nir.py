"""The verbs for NIR: files in, files out, and a policy to begin with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from codesign.cli.ui import Json, Quiet, Ui, Verbose
from codesign.errors import UsageError


def import_nir(
    graph: Annotated[Path, typer.Argument(help="A .nir file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the ONNX file.")],
    policy: Annotated[
        Path | None, typer.Option(help="A TOML file that says what NIR leaves open.")
    ] = None,
    form: Annotated[
        str, typer.Option(help="'scan' over a window's steps, or one 'step'.")
    ] = "scan",
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Turn a NIR graph into an exchange model, which 'codesign generate' takes.

    NIR has no time step, no formats, and does not say when a neuron resets: a policy must. What
    it rounds is listed. 'codesign nir-policy PRESET' writes one to begin with.

    [bold]Examples[/bold]

      codesign nir-policy snntorch_no_delay > policy.toml

      codesign import-nir net.nir --policy policy.toml -o net.onnx
    """
    from codesign.frontend import nir
    from codesign.frontend.spiking.policy import read_toml

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    if form not in ("scan", "step"):
        raise UsageError(f"--form takes scan or step, got {form!r}")
    with ui.working(f"importing {graph}"):
        under = None if policy is None else read_toml(policy, nir.NirPolicy)
        made = nir.import_nir(graph, under)
        model = made.scan if form == "scan" else made.step
        _write(out, model.SerializeToString())
    said = [*map(str, made.changes), *made.warnings]
    summary = {
        "model": str(out),
        "rounded": [str(change) for change in made.changes],
        "warnings": list(made.warnings),
    }
    ui.result(summary, f"[bold]{escape(str(out))}[/bold]", *map(escape, said))


def export_nir(
    model: Annotated[Path, typer.Argument(help="An exchange model of spiking neurons.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the .nir file.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a spiking model as a NIR graph, and list what of it NIR cannot say.

    [bold]Examples[/bold]

      codesign export-nir net.onnx -o net.nir
    """
    from codesign.frontend import load_model, nir

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    with ui.working(f"exporting {model}"):
        exported = nir.export_nir(load_model(model))
        _write(out, exported.to_bytes())
    summary = {"graph": str(out), "warnings": list(exported.warnings)}
    ui.result(summary, f"[bold]{escape(str(out))}[/bold]", *map(escape, exported.warnings))


def nir_policy(
    preset: Annotated[str | None, typer.Argument(help="Whose semantics; none lists them.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Print a policy for 'codesign import-nir' to edit, or what each preset decides.

    [bold]Examples[/bold]

      codesign nir-policy

      codesign nir-policy loihi > policy.toml
    """
    from codesign.frontend import nir

    ui = Ui(json=json, quiet=quiet, verbose=verbose)
    text = nir.describe_presets() if preset is None else nir.template(preset)
    ui.result({"preset": preset, "text": text}, escape(text))


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as reason:
        part.unlink(missing_ok=True)
        what = f"cannot be written: {reason.strerror}"
        raise UsageError(what, where=str(path), hint="check the folder") from None


ALL = (import_nir, export_nir, nir_policy)
