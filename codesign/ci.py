"""``init-ci``: a workflow with which a user's own repository simulates its network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import jinja2

from codesign.builddir import write_text_atomically
from codesign.errors import UsageError

#: What may stand between double quotes of a shell and mean itself.
PLAIN = re.compile(r"[A-Za-z0-9_./:@+=,<>~!#%&\[\] -]+")


def write_workflow(model: Path, out: Path, *, force: bool, install: str = "") -> Path:
    """Write the workflow for ``model``, a path inside the repository that is the current folder.

    Parameters
    ----------
    install:
        What pip installs there; by default what this package was installed from.

    Returns
    -------
    Where PyTorch's recorded results of the model are looked for, which belong there as well.

    Raises
    ------
    UsageError
        When the path could mean something else to a shell, the model does not exist, ``out`` does,
        or this package came from a place that the workflow cannot reach.
    """
    if model.is_absolute() or not re.fullmatch(r"[A-Za-z0-9_./-]+", str(model)):
        raise UsageError(
            "the model's path must be relative, of letters, digits and _ . / -", where=str(model)
        )
    if not model.is_file():
        raise UsageError(
            "no such file",
            where=str(model),
            hint="run init-ci at the top of your repository, with the model in it",
        )
    if out.exists() and not force:
        raise UsageError("file exists", where=str(out), hint="--force replaces it")
    wanted = install or requirement(origin(), metadata.version("codesign"), Path.cwd())
    if not PLAIN.fullmatch(wanted):
        raise UsageError(f"'{wanted}' is no requirement that pip takes", where="--install")
    text = (resources.files("codesign.templates") / "workflow.yml.jinja").read_text()
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    golden = model.with_suffix(".golden.npz")
    page = environment.from_string(text).render(
        model=str(model),
        golden=str(golden),
        requirement=wanted,
        version=metadata.version("codesign"),
    )
    write_text_atomically(out, page)
    return golden


def origin() -> dict[str, Any] | None:
    """Where pip installed this package from, as PEP 610 records it; None for an index."""
    text = metadata.distribution("codesign").read_text("direct_url.json")
    return json.loads(text) if text else None


def requirement(origin: Mapping[str, Any] | None, version: str, repository: Path) -> str:
    """What pip must be given to install the same package elsewhere.

    ``origin``: see :func:`origin`. A file must lie in ``repository``; ``UsageError`` for one that
    does not, and for a checkout.
    """
    if origin is None:
        return f"codesign[sim]=={version}"
    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        source = origin["vcs_info"]
        return f"codesign[sim] @ {source['vcs']}+{url}@{source['commit_id']}"
    address = urlparse(url)
    if address.scheme in ("http", "https"):
        return f"codesign[sim] @ {url}"
    path = Path(unquote(address.path))
    if "dir_info" not in origin and path.is_relative_to(repository):
        return f"./{path.relative_to(repository)}[sim]"
    what = "a checkout" if "dir_info" in origin else "a file outside of this repository"
    raise UsageError(
        f"codesign was installed from {what}, {path}, which the workflow cannot reach",
        where="init-ci",
        hint="say what it shall install: --install 'codesign[sim] @ git+https://...'; "
        "or put a wheel into the repository and install from that",
    )
