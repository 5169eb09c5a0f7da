"""Colour, for a person at a terminal and for nobody else."""

from __future__ import annotations

import pytest

from nodeprep.verbs import screen, terminal
from tests.unit.test_cli import DOCUMENT, RENDERED


@pytest.mark.parametrize(
    ("isatty", "environment", "coloured"),
    [
        (True, {"TERM": "xterm"}, True),
        (False, {"TERM": "xterm"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
    ],
)
def test_colour_is_for_terminals_and_never_with_no_color(
    monkeypatch: pytest.MonkeyPatch, isatty: bool, environment: dict[str, str], coloured: bool
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: isatty)
    text = screen.render(DOCUMENT, long=False)
    assert ("\x1b[31mheld\x1b[0m: " in text, "\x1b[31mconflict  \x1b[0m" in text) == (coloured, coloured)
    for code in terminal.CODES.values():
        text = text.replace(f"\x1b[{code}m", "")
    assert text.replace("\x1b[0m", "") == RENDERED, "colour moves nothing"


def test_what_is_of_no_kind_has_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_coloured", lambda: True)
    assert terminal.paint("own", "") == "own"
