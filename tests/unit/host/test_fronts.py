"""Packages loaded without their fronts: what is left out, and what is loaded with its front all the same."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprep.host.fronts import load_without_fronts

FRONT = "import loudly.everything\nfrom loudly.room import window\n"


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "loudly":
            del sys.modules[name]
    importlib.invalidate_caches()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a package, with another in it, whose fronts load everything."""
    folder = tmp_path / "loudly"
    (folder / "room").mkdir(parents=True)
    (folder / "__init__.py").write_text(FRONT)
    (folder / "everything.py").write_text("")
    (folder / "room" / "__init__.py").write_text("from loudly import everything\n")
    (folder / "room" / "window.py").write_text("from loudly import glass\nfrom . import frame\nOPEN = glass.CLEAR\n")
    (folder / "room" / "frame.py").write_text("")
    (folder / "glass.py").write_text("CLEAR = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def loaded() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] == "loudly"}


@pytest.mark.usefixtures("package")
def test_a_module_is_loaded_with_what_it_needs_and_without_the_rest() -> None:
    load_without_fronts("loudly.room.window")
    from loudly.room.window import OPEN  # type: ignore[import-not-found]

    assert OPEN
    assert loaded() == {"loudly", "loudly.room", "loudly.room.window", "loudly.room.frame", "loudly.glass"}


def test_one_that_needs_the_front_is_loaded_with_it(package: Path) -> None:
    (package / "room" / "frame.py").write_text("import loudly\n\ndef key():\n    return loudly.KEY\n")
    (package / "room" / "window.py").write_text("from .frame import key\nOPEN = key()\n")
    (package / "__init__.py").write_text(f"KEY = 1\n{FRONT}")
    load_without_fronts("loudly.room.window")
    assert loaded() == set()
    assert importlib.import_module("loudly.room.window").OPEN == 1
    assert "loudly.everything" in loaded()


@pytest.mark.usefixtures("package")
def test_what_was_loaded_before_stays_as_it_is() -> None:
    whole = importlib.import_module("loudly")
    load_without_fronts("loudly.room.window")
    assert sys.modules["loudly"] is whole
    assert "loudly.everything" in loaded()


@pytest.mark.parametrize("module", ["loudly.room.window", "loudly.cellar.window", "loudly.room.door"])
def test_what_is_not_there_is_missed_by_whoever_imports_it(package: Path, module: str) -> None:
    if module == "loudly.room.window":
        package.rename(package.with_name("elsewhere"))
        importlib.invalidate_caches()
    load_without_fronts(module)
    assert loaded() == set()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(module)
