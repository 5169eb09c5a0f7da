"""Linters, types and import contracts, at the versions of the interpreter that runs the tests."""

import sys
from pathlib import Path

import pytest

from tests.repo.sources import run

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param((sys.executable, "-m", "ruff", "check", "."), id="ruff-check"),
        pytest.param((sys.executable, "-m", "ruff", "format", "--check", "."), id="ruff-format"),
        pytest.param((sys.executable, "-m", "mypy", "nodeprep", "tests"), id="mypy"),
        pytest.param((LINT_IMPORTS,), id="import-contracts"),
    ],
)
def test_nothing_to_say(command: tuple[str | Path, ...]) -> None:
    said = run(*command)
    assert said.returncode == 0, said.stdout
