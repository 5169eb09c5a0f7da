"""Messages: complete, found again for ever by code and MESSAGE_ID, and the same in the journal's catalog."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nodeprep.messages import BY_CODE, MESSAGES, Message, catalog, explain

GOLDEN = Path(__file__).parent / "golden" / "message_ids.txt"
CATALOG = Path(__file__).parents[2] / "units" / "nodeprep.catalog"


def frozen() -> dict[str, str]:
    """Return code → MESSAGE_ID as they were released."""
    lines = (line.split() for line in GOLDEN.read_text(encoding="ascii").splitlines() if not line.startswith("#"))
    return {code: message_id for message_id, code in lines}


@pytest.mark.parametrize("message", MESSAGES, ids=[message.code for message in MESSAGES])
def test_all_texts_are_there(message: Message) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", message.code)
    assert re.fullmatch("[0-9a-f]{32}", message.message_id)
    for text in (message.title, message.diagnosis, message.remedy):
        assert text == text.strip()
        assert len(text) > 10
        assert "\n" not in text
        assert "  " not in text
    assert not message.title.endswith(".")
    for sentence in (message.diagnosis, message.remedy):
        assert sentence.endswith((".", "?"))


def test_codes_and_ids_are_unique() -> None:
    assert len({message.code for message in MESSAGES}) == len(MESSAGES)
    assert len({message.message_id for message in MESSAGES}) == len(MESSAGES)
    assert list(BY_CODE.values()) == list(MESSAGES)


def test_no_released_id_ever_changes() -> None:
    current = {message.code: message.message_id for message in MESSAGES}
    assert {code: current.get(code) for code in frozen()} == frozen()


def test_every_id_is_frozen() -> None:
    assert {message.code for message in MESSAGES} - set(frozen()) == set(), f"append the new ones to {GOLDEN.name}"


def test_the_catalog_is_made_from_the_table() -> None:
    assert CATALOG.read_text(encoding="utf-8") == catalog(), "run `make catalog`"


def test_the_catalog_has_an_entry_for_each() -> None:
    entries = dict(re.findall(r"^-- ([0-9a-f]{32})\nSubject: (.*)$", catalog(), re.MULTILINE))
    assert entries == {message.message_id: message.title for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES, ids=[message.code for message in MESSAGES])
def test_explaining_tells_everything(message: Message) -> None:
    text = explain(message.code) or ""
    assert text.startswith(f"{message.code}: {message.title}\n")
    assert message.diagnosis in text
    assert text.endswith(f"{message.remedy}\n")


def test_there_is_nothing_to_explain() -> None:
    assert explain("no-such-code") is None
