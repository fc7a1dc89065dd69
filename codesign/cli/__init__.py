"""The command line: one verb a stage, each usable alone.

Exit codes: 0 ok, 1 mismatch, 2 usage, 3 missing tool, 4 unsupported model, 5 over budget.
"""

from __future__ import annotations

import sys

import typer

from codesign import __version__
from codesign.cli import learning, nir, verbs
from codesign.cli.ui import errors, report_error
from codesign.errors import CodesignError, UsageError

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


def file_error(error: OSError) -> UsageError:
    """What the system says of a file, as one message."""
    what = f"cannot be read or written: {error.strerror or error}"
    return UsageError(what, where=str(error.filename), hint="check the path and its folder")


def main(argv: list[str] | None = None) -> None:
    """Entry point: run a verb and exit with its code; no traceback for a user's mistake."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        code = app(args=arguments, standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except CodesignError as error:
        sys.exit(report_error(error, as_json="--json" in arguments))
    except OSError as error:
        # A file that cannot be read or written is the user's to mend, whichever stage met it.
        if error.filename is None:
            raise
        sys.exit(report_error(file_error(error), as_json="--json" in arguments))
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)
    except Exception as error:
        # typer and click raise their own exceptions for a wrong command line.
        show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
        if code is None:
            raise
        if show is not None:
            show()
        sys.exit(code)
