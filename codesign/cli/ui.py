"""Manners of the command line: progress on stderr, results on stdout, errors in one message."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from codesign.errors import CodesignError

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Print what is being done.")]

errors = Console(stderr=True, highlight=False)


class Ui:
    """What one verb prints. ``json`` replaces tables by one JSON document."""

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json, self.quiet, self.verbose = json, quiet, verbose
        width = None if sys.stdout.isatty() else 140  # tables in a log should not wrap
        self.out = Console(highlight=False, quiet=quiet, width=width)
        self._task: Any = None

    @contextmanager
    def working(self, title: str) -> Iterator[Ui]:
        """A spinner with the current step on stderr; silent when stderr is no terminal."""
        visible = errors.is_terminal and not self.quiet and not self.json
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=errors, transient=True, disable=not visible) as progress:
            self._task = (progress, progress.add_task(title), title)
            try:
                yield self
            finally:
                self._task = None

    def step(self, text: str) -> None:
        """Say what happens now."""
        if self._task is not None:
            progress, task, title = self._task
            progress.update(task, description=f"{title}: {text}")
        if self.verbose and not self.quiet:
            errors.print(f"[dim]{text}[/dim]")

    def result(self, data: BaseModel | dict[str, Any], *shown: Any) -> None:
        """Print ``shown`` (rich renderables), or ``data`` with ``--json``."""
        if self.json:
            plain = data.model_dump() if isinstance(data, BaseModel) else data
            sys.stdout.write(json.dumps(plain, indent=1, default=str) + "\n")
            return
        for item in shown:
            self.out.print(item)


def report_error(error: CodesignError, *, as_json: bool) -> int:
    """Print one user error; its exit code."""
    if as_json:
        data = {
            "error": error.what,
            "where": error.where,
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
        sys.stdout.write(json.dumps(data, indent=1) + "\n")
    where = f"{error.where}: " if error.where else ""
    errors.print("[bold red]error[/bold red] ", end="")
    errors.print(f"{where}{error.what}", markup=False, soft_wrap=True)
    if error.hint:
        errors.print("[bold]hint[/bold]  ", end="")
        errors.print(error.hint, markup=False, soft_wrap=True)
    return error.exit_code
