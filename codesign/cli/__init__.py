"""The command line: one verb a stage, each usable alone.

Exit codes: 0 ok, 1 mismatch, 2 usage, 3 missing tool, 4 unsupported model, 5 over budget,
70 internal error, 130 interrupted, 141 nobody reads the output any more.
"""

from __future__ import annotations

import sys

import typer

from codesign import __version__
from codesign.cli import learning, nir, verbs
from codesign.cli.ending import run

app = typer.Typer(
    name="codesign",
    help="From a trained quantized network to a circuit proven to compute the same bits.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for _verb in (*verbs.ALL, *learning.ALL, *nir.ALL):
    app.command(_verb.__name__.replace("_", "-"))(_verb)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"codesign {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True,
                                 help="Print the version and exit."),
) -> None:  # fmt: skip
    """From a trained quantized network to a circuit proven to compute the same bits."""


def main(argv: list[str] | None = None) -> None:
    """Entry point: run a verb and exit with its code; never a traceback."""
    arguments = sys.argv[1:] if argv is None else argv
    sys.exit(run(lambda: app(args=arguments, standalone_mode=False), arguments))
