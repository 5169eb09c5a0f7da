"""What may leave the machine in a bug report."""

from __future__ import annotations

from nodeprep.redaction import redact

MACHINE_ID = "0123456789abcdef0123456789abcdef"
KEY = "ab" * 32


def test_a_value_goes_wherever_it_is_and_however_it_is_written() -> None:
    text = f"a {MACHINE_ID} b {MACHINE_ID.upper()} c 01234567-89ab-cdef-0123-456789abcdef/system.journal"
    assert redact(text, {MACHINE_ID: "[me]"}) == "a [me] b [me] c [me]/system.journal"


def test_the_longer_of_two_goes_first() -> None:
    assert redact("node-secret-long", {"secret": "[a]", "node-secret-long": "[b]"}) == "[b]"


def test_a_value_too_short_to_be_a_secret_takes_no_words_with_it() -> None:
    assert redact("a node is a node", {"node": "[x]", "": "[y]"}) == "a node is a node"


def test_keys_go_although_nobody_named_them() -> None:
    pem = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----"
    told = redact(f"{KEY} {KEY.upper()}{KEY}\n{pem}\nthe end", {})
    assert told == "[a key's digits] [a key's digits]\n[OPENSSH PRIVATE KEY]\nthe end"
    assert "b3Bl" not in redact(pem[:-20], {}), "nor one that was cut off"


def test_another_machines_id_keeps_its_sameness_and_nothing_else() -> None:
    other = "f" * 32
    first, second, third = redact(f"{other} {other.upper()} {'e' * 32}", {}).split("] ")
    assert first == second.rstrip("]") != third.rstrip("]")
    assert other not in first


def test_what_stands_in_may_hold_anything() -> None:
    assert redact("the-secret", {"the-secret": r"\1\g<0>"}) == r"\1\g<0>"
