"""Every example of the README and the guides runs, word for word."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codesign.plan.planfile import read_plan

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    """Fenced code blocks of a page."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.M | re.S)
    return [text for kind, text in found if kind == language]


def command_lines(page: str) -> list[list[str]]:
    """The ``codesign`` commands of a page's plain blocks, comments dropped."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("codesign ")]


def run(command: list[str], folder: Path) -> None:
    tool = Path(sys.executable).with_name("codesign")
    done = subprocess.run(
        [str(tool), *command[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stdout[-500:], done.stderr[-2000:])


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


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / target).exists(), (page, target)
