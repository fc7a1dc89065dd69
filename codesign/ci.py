"""``init-ci``: a workflow with which a user's own repository simulates its network."""

from __future__ import annotations

import re
from importlib import metadata, resources
from pathlib import Path

import jinja2

from codesign.builddir import write_text_atomically
from codesign.errors import UsageError


def write_workflow(model: Path, out: Path, *, force: bool) -> None:
    """Write the workflow for ``model``, a path inside the repository.

    ``UsageError`` when the path could mean something else to a shell, or ``out`` exists.
    """
    if model.is_absolute() or not re.fullmatch(r"[A-Za-z0-9_./-]+", str(model)):
        raise UsageError(
            "the model's path must be relative, of letters, digits and _ . / -", where=str(model)
        )
    if out.exists() and not force:
        raise UsageError("file exists", where=str(out), hint="--force replaces it")
    text = (resources.files("codesign.templates") / "workflow.yml.jinja").read_text()
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    version = metadata.version("codesign")
    page = environment.from_string(text).render(model=str(model), version=version)
    write_text_atomically(out, page)
