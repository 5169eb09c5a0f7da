"""What may be typed after a verb: one way for all of them."""

from __future__ import annotations

import importlib

import pytest

from nodeprep import cli
from nodeprep.verbs import JSON, VERBS, Option, UsageError, Verb, synopsis, usage

TRIED = Verb(
    "tried",
    "tries",
    (JSON, Option("--peer", "who", "NAME", many=True), Option("--as", "how", "FORM", choices=("a", "b"))),
    "RUN [ARTEFACT...]",
)


def test_flags_values_and_operands_in_any_order() -> None:
    typed = TRIED.parse(["r1", "--peer=x", "--json", "a1", "--peer", "y", "--as", "b", "--", "--json"])
    assert typed.operands == ["r1", "a1", "--json"]
    assert (typed.as_json, typed.values("--peer"), typed.value("--as")) == (True, ("x", "y"), "b")
    assert typed.value("--none", "else") == "else"
    assert "--none" not in typed


def test_of_an_option_that_is_not_for_many_the_last_word_counts() -> None:
    assert TRIED.parse(["r", "--as=a", "--as=b"]).values("--as") == ("b",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "takes RUN"),
        (["r", "--nope"], "no option '--nope'"),
        (["r", "--json=yes"], "no option '--json=yes'"),
        (["r", "--peer"], "--peer takes NAME"),
        (["r", "--peer="], "--peer takes NAME"),
        (["r", "--as", "c"], "one of a, b, not 'c'"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        TRIED.parse(words)


@pytest.mark.parametrize("words", [["x"], [], ["renew", "keep"]])
def test_what_an_operand_may_be(words: list[str]) -> None:
    with pytest.raises(UsageError):
        VERBS["decide"].parse(words)


@pytest.mark.parametrize("verb", VERBS.values(), ids=lambda verb: verb.name)
def test_every_verb_is_a_module_and_tells_what_it_takes(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(importlib.import_module(f"nodeprep.verbs.{verb.name}").main)
    for words in ([verb.name, "--help"], ["help", verb.name]):
        assert cli.run(words) == 0
        told = capsys.readouterr().out
        assert told == usage(verb)
        assert told.startswith(synopsis(verb))
        assert all(option.what in told for option in verb.options.values())


@pytest.mark.parametrize("verb", [verb for verb in VERBS.values() if verb.only_root], ids=lambda verb: verb.name)
def test_who_is_not_root_is_told_why_and_nothing_is_done(
    verb: Verb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(importlib.import_module(f"nodeprep.verbs.{verb.name}"), "main", lambda typed: 0)
    operands = [(verb.choices or ("x",))[0]] if verb.operands and not verb.operands.startswith("[") else []
    assert cli.run([verb.name, *operands]) == 1
    assert verb.only_root in capsys.readouterr().err
