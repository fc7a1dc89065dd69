"""Every example of the README and the guides runs, word for word."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from codesign.cli import app
from codesign.plan.planfile import read_plan

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/*.md"))


def blocks(page: str, language: str) -> list[str]:
    """Fenced code blocks of a page."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    return [text for kind, text in found if kind == language]


def command_lines(page: str) -> list[list[str]]:
    """The ``codesign`` commands of a page's plain blocks, comments dropped."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("codesign ")]


def run(command: list[str], folder: Path) -> str:
    """What the command prints."""
    tool = Path(sys.executable).with_name("codesign")
    done = subprocess.run(
        [str(tool), *command[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout[-500:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's commands ran, one after the other."""
    work = tmp_path_factory.mktemp("readme")
    for command in readme_commands()[0]:
        run(command, work)
    return work


def readme_commands() -> tuple[list[list[str]], list[list[str]]]:
    """Those of the first example, and those of the spiking one."""
    commands = command_lines("README.md")
    verbs = ["train", "check", "generate", "verify", "synth", "report", "doctor"]
    spiking = ["train", "generate", "verify", "report"]
    assert [c[1] for c in commands] == [*verbs, *spiking]
    return commands[: len(verbs)], commands[len(verbs) :]


def test_readme_commands(folder: Path) -> None:
    assert (folder / "build/reports/report.html").is_file()
    assert 'failures="0"' in (folder / "results.xml").read_text()


@pytest.mark.slow
def test_readme_spiking(tmp_path: Path) -> None:
    for command in readme_commands()[1]:
        run(command, tmp_path)
    page = (tmp_path / "spikes/reports/report.html").read_text()
    assert "Proven bit-exact" in page and "What the circuit did" in page


def test_readme_python(folder: Path) -> None:
    (code,) = blocks("README.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    latency, ii, accuracy = done.stdout.split()
    assert int(latency) > 0 and float(ii) == 64 and float(accuracy) >= 0.95


def test_plan_file_of_the_guide(folder: Path) -> None:
    plan, fifos = blocks("docs/PLANNING.md", "toml")
    (folder / "fifos.toml").write_text(fifos)
    assert read_plan(folder / "fifos.toml").fifos == {"fifo_add_1_i0": 64}
    (folder / "plan.toml").write_text(plan)
    (command,) = command_lines("docs/PLANNING.md")
    run([*command, "--quiet"], folder)


def test_weights_of_the_guide(folder: Path) -> None:
    shutil.copy(folder / "model.onnx", folder / "retrained.onnx")  # any weights will do
    for command in command_lines("docs/WEIGHTS.md"):
        run([*command, "--quiet"], folder)
    assert (folder / "weights.json").stat().st_size > 1000


def test_snntorch_of_the_guide(tmp_path: Path) -> None:
    pytest.importorskip("snntorch")
    (code,) = blocks("docs/SPIKING.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("linear_0: 48 of 48 weight values rounded")


@pytest.mark.slow  # the verbs one by one are in tests/cli/test_nir.py
def test_nir_of_the_guide(tmp_path: Path) -> None:
    nir = pytest.importorskip("nir")
    ones, weights = np.ones(4), np.random.default_rng(0).normal(0, 0.5, (4, 6))
    neurons = nir.LIF(tau=1e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=0.5 * ones)
    nir.write(tmp_path / "net.nir", nir.NIRGraph.from_list(nir.Linear(weights), neurons))
    commands = [c for c in command_lines("docs/SPIKING.md") if c[1] != "train"]
    assert [c[1] for c in commands] == [
        "nir-policy", "import-nir", "generate", "verify", "export-nir"
    ]  # fmt: skip
    for command in commands:
        if command[1] == "verify":
            command += ["--no-cocotb", "--random", "50"]
        if ">" in command:
            where = command.index(">")
            text = run(command[:where], tmp_path)
            (tmp_path / command[where + 1]).write_text(text)
        else:
            run(command, tmp_path)
    assert nir.read(tmp_path / "back.nir").nodes


def test_every_command_has_the_options_it_is_shown_with() -> None:
    group = typer.main.get_command(app)
    for page in PAGES:
        for command in command_lines(page):
            verb = group.commands[command[1]]
            known = {name for p in verb.params for name in (*p.opts, *p.secondary_opts)}
            given = {word.partition("=")[0] for word in command[2:] if word.startswith("-")}
            assert given <= known, (page, command)


def anchor(title: str) -> str:
    """What a heading is linked by on GitHub."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / page).read_text()):
            path, _, place = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), (page, target)
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M) if place else []
            assert not place or place in map(anchor, titles), (page, target)
