"""A survey: who holds what is told by those who hold it, whatever their standing, and nothing is taken from anybody."""

from __future__ import annotations

import pytest

from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import ClaimKind, Standing
from nodeprep.peers.rules import Send
from nodeprep.peers.survey import PAUSES_S, Survey

KEY, NEW = bytes(range(32)), bytes(range(32, 64))
RING = Keyring((KEY,))
NAMES = {f"worker-{number:02d}": RING.claim(ClaimKind.HOSTNAME, f"worker-{number:02d}") for number in range(1, 65)}


def census(nonce: int, *names: str, ready: bool = False) -> Census:
    """Return a machine that holds these names, at the second 10."""
    one = Census(bytes([nonce]) * 16, RING)
    one.probe(0.0, frozenset(NAMES[name] for name in names), Standing.PROBING)
    now = 0.0
    while ready and not one.clear:
        now += 0.01
        one.tick(now)
    if ready:
        one.ready(now)
    return one


def survey(machines: list[Census], *others: Survey) -> Survey:
    """Return a survey that is over, of machines that hear all of it."""
    one, now = Survey(b"s" * 16, RING, ClaimKind.HOSTNAME, NAMES), 10.0
    while (pause_s := one.pause_s) is not None:
        for frame in one.ask(now):
            for machine in machines:
                machine.receive(now, frame.payload)
            for other in others:
                other.receive(frame.payload)
        end = now + pause_s
        while now < end:
            now += 0.01
            for machine in machines:
                for effect in machine.tick(now):
                    if isinstance(effect, Send):
                        one.receive(effect.payload)
    return one


@pytest.mark.parametrize("nonce", [0, 255])
def test_what_a_ready_machine_and_one_that_probes_hold_is_told(nonce: int) -> None:
    ready, probing = census(nonce, "worker-03", ready=True), census(nonce + (1 if nonce == 0 else -1), "worker-07")
    assert survey([ready, probing]).held == {"worker-03", "worker-07"}


def test_a_survey_takes_nothing_from_anybody() -> None:
    probing = census(255, "worker-07")  # the highest nonce yields to every machine
    for frame in Survey(bytes(16), RING, ClaimKind.HOSTNAME, NAMES).ask(0.1):
        probing.receive(0.1, frame.payload)
    now = 0.1
    while not probing.clear:
        now += 0.01
        probing.tick(now)
        assert now < 2


def test_two_surveys_hear_nothing_of_each_other() -> None:
    other = Survey(b"o" * 16, RING, ClaimKind.HOSTNAME, NAMES)
    assert survey([], other).held == set()
    assert other.held == set()


def test_what_is_known_to_be_held_is_not_asked_again_and_it_ends() -> None:
    one = survey([census(1, *NAMES, ready=True)])
    assert one.held == set(NAMES)
    assert one.pause_s is None
    assert sum(PAUSES_S) < 1


def test_frames_that_are_not_authentic_or_not_for_it_say_nothing() -> None:
    one = Survey(b"s" * 16, RING, ClaimKind.HOSTNAME, NAMES)
    asked = [frame.payload for frame in one.ask(0.0)]
    forger = Census(b"f" * 16, Keyring((bytes(32),)))
    forger.probe(0.0, frozenset(NAMES.values()), Standing.PROBING)
    for payload in (*asked, b"", b"s" * 16, asked[0][:-1] + b"\0"):
        one.receive(payload)
    assert one.held == set()


def test_while_the_key_changes_who_has_either_is_asked_and_understood() -> None:
    both = Keyring((NEW, KEY))
    one, now = Survey(b"s" * 16, both, ClaimKind.HOSTNAME, NAMES), 10.0
    former = census(1, "worker-05", ready=True)
    while (pause_s := one.pause_s) is not None:
        for frame in one.ask(now):
            former.receive(now, frame.payload)
        end = now + pause_s
        while now < end:
            now += 0.01
            for effect in former.tick(now):
                if isinstance(effect, Send):
                    one.receive(effect.payload)
    assert one.held == {"worker-05"}
