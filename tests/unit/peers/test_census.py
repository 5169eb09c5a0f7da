"""The census on one machine: what it says, when, and what it tells its caller."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nodeprep.peers.census import Census
from nodeprep.peers.heard import PEERS_MAX
from nodeprep.peers.message import Claim, ClaimKind, Message, MessageType, Reason, Standing, claim, encode
from nodeprep.peers.rules import DEFAULT_TIMING, UNICAST, Clear, Effect, Kept, Lost, Rejected, Resolved, Send, Source
from tests.unit.peers.single import (
    BOTH,
    FOREIGN,
    HIGH,
    KEY,
    KEYRING,
    LOW,
    MAC,
    NAME,
    OWN,
    conflict,
    frame,
    probing,
    ready,
    reported,
    run,
    sent,
)


@pytest.mark.parametrize("nonce", [LOW, OWN, HIGH])
def test_an_uncontested_probe_is_clear_in_time(nonce: bytes) -> None:
    census = Census(nonce, KEYRING)
    effects = census.probe(5.0, BOTH, Standing.PROBING)
    log = [(5.0, effect) for effect in effects] + run(census, 10.0)
    assert [type(effect) for _, effect in log] == [Send] * DEFAULT_TIMING.probe_num + [Clear]
    assert log[0][0] <= 5.05
    assert log[-1][0] <= 5.75
    assert log[-1][0] - log[-2][0] == pytest.approx(DEFAULT_TIMING.probe_interval_s + DEFAULT_TIMING.last_wait_s)
    assert census.clear
    assert census.deadline is None


def test_a_machine_that_stalls_while_probing_still_waits_for_an_answer() -> None:
    census = probing()
    late = [census.tick(now) for now in (30.0, 30.01)]
    assert [message.type for message in sent(late[0])] == [MessageType.PROBE]
    assert late[1] == ()
    assert not census.clear


def test_two_machines_do_not_begin_at_one_instant() -> None:
    starts = set()
    for number in range(20):
        census = Census(bytes((number,)) * 16, KEYRING)
        census.probe(0.0, BOTH, Standing.PROBING)
        starts.add(census.deadline)
    assert len(starts) == 20


def test_equal_inputs_give_equal_effects() -> None:
    histories = []
    for _ in range(2):
        census = ready()
        effects = census.receive(100.5, frame(MessageType.PROBE, LOW, Standing.PROBING))
        histories.append((effects, run(census, 2000.0)))
    assert histories[0] == histories[1]


def test_only_what_is_contested_is_lost_and_the_rest_is_probed_on() -> None:
    census = probing()
    effects = census.receive(0.2, conflict(HIGH, Standing.READY, frozenset({NAME, FOREIGN})))
    assert effects == (Lost(frozenset({NAME}), HIGH, Standing.READY),)
    log = run(census, 5.0)
    assert {message.claims for message in sent(tuple(effect for _, effect in log))} == {frozenset({MAC})}
    assert not any(isinstance(effect, Clear) for _, effect in log)
    assert not census.clear


def test_the_loser_of_everything_falls_silent_and_is_clear_with_new_claims() -> None:
    census = probing()
    assert census.receive(0.2, conflict(LOW, Standing.PROBING)) == (Lost(BOTH, LOW, Standing.PROBING),)
    assert census.deadline is None
    assert census.receive(0.3, frame(MessageType.PROBE, HIGH, Standing.PROBING)) == ()
    assert census.receive(0.3, conflict(HIGH, Standing.READY)) == ()
    census.probe(1.0, frozenset({FOREIGN}), Standing.PROBING)
    assert reported(census.receive(1.1, conflict(LOW, Standing.READY))) == []
    assert run(census, 2.0)[-1][1] == Clear()


def test_the_keeper_of_a_contest_probes_longer_but_not_for_ever() -> None:
    census = probing()
    clear_s = 0.0
    for number in range(1, 100):
        now = number / 50
        log = run(census, now)
        clear_s = next((at for at, effect in log if isinstance(effect, Clear)), clear_s)
        census.receive(now, conflict(b"\xf0" * 15 + bytes((number,)), Standing.PROBING))
    assert 0.75 < clear_s <= DEFAULT_TIMING.probing_max_s


def test_a_contest_that_comes_after_clear_revokes_it() -> None:
    census = probing()
    run(census, 1.0)
    assert census.clear
    assert census.receive(1.1, conflict(HIGH, Standing.READY)) == (Lost(BOTH, HIGH, Standing.READY),)
    with pytest.raises(ValueError, match="Clear"):
        census.ready(1.2)


def test_ready_is_never_said_before_clear() -> None:
    with pytest.raises(ValueError, match="Clear"):
        probing().ready(0.3)
    with pytest.raises(ValueError, match="READY"):
        probing().amend(0.3, BOTH)
    with pytest.raises(ValueError, match="READY"):
        ready().hold(101.0)


def test_what_others_say_to_each_other_decides_nothing() -> None:
    census = probing()
    overheard = frame(MessageType.CONFLICT, LOW, Standing.READY, BOTH, HIGH)
    assert census.receive(0.2, overheard) == ()
    assert census.peers[0].outcome is None


def test_an_echo_is_not_a_peer() -> None:
    census = probing()
    assert census.receive(0.2, frame(MessageType.PROBE, OWN, Standing.PROBING)) == ()
    assert census.peers == ()
    assert census.echoes == {"": (1, 0.2)}


def test_a_bad_frame_changes_nothing_but_its_counter() -> None:
    census, untouched = probing(), probing()
    foreign = encode(Message(MessageType.CONFLICT, LOW, Standing.READY, BOTH, frozenset({OWN})), bytes(32))
    assert [census.receive(0.2, payload) for payload in (*foreign, b"", b"ndpr\x02" + bytes(40))] == [
        (Rejected(Reason.UNAUTHENTIC),),
        (Rejected(Reason.NOT_OURS),),
        (Rejected(Reason.VERSION),),
    ]
    assert census.rejected == {
        Reason.UNAUTHENTIC: 1,
        Reason.NOT_OURS: 1,
        Reason.VERSION: 1,
        Reason.MALFORMED: 0,
        Reason.STALE: 0,
        Reason.LIMITED: 0,
    }
    assert run(census, 9.0) == run(untouched, 9.0)


def test_a_machine_that_holds_probes_slowly_and_is_clear_when_the_contest_has_gone() -> None:
    census = probing(Standing.JOINED)
    census.receive(0.2, conflict(LOW, Standing.READY))
    census.hold(0.3)
    log: list[tuple[float, Effect]] = []
    for now in range(1, 100):
        log += run(census, float(now))
        log += [(now, effect) for effect in census.receive(float(now), conflict(LOW, Standing.READY))]
    assert {type(effect) for _, effect in log} == {Send}
    assert 100 / DEFAULT_TIMING.contested_max_s <= len(log) <= 2 * 100 / DEFAULT_TIMING.contested_max_s
    end = [effect for _, effect in run(census, 200.0) if not isinstance(effect, Send)]
    assert end == [Resolved(BOTH, LOW), Clear()]


def test_a_machine_that_holds_without_a_known_contest_waits_before_it_is_clear() -> None:
    census = probing()
    census.hold(1.0)
    log = run(census, 100.0)
    assert [type(effect) for _, effect in log if not isinstance(effect, Send)] == [Clear]
    assert log[-1][0] >= 1.0 + DEFAULT_TIMING.expiry_s
    assert all(later - earlier <= 1.5 * DEFAULT_TIMING.contested_max_s for (earlier, _), (later, _) in pairwise(log))


def test_a_machine_that_holds_goes_on_to_contest_what_it_lost() -> None:
    census = probing(Standing.JOINED)
    census.hold(0.3)
    assert census.receive(0.4, conflict(HIGH, Standing.READY)) == (Lost(BOTH, HIGH, Standing.READY),)
    (answer,) = sent(census.receive(0.5, frame(MessageType.PROBE, LOW, Standing.PROBING)))
    assert answer == Message(MessageType.CONFLICT, OWN, Standing.JOINED, BOTH, frozenset({LOW}))


def test_who_holds_leaves_it_to_a_ready_peer_to_object_where_that_is_heard_and_as_long_as_it_is() -> None:
    census = probing()
    census.hold(0.3)
    census.receive(0.4, conflict(HIGH, Standing.READY, frozenset({NAME})), Source("eth0", "aa"))

    def objects(now: float, link: str, nonce: bytes) -> set[Claim]:
        run(census, now - 0.1)
        said = sent(census.receive(now, frame(MessageType.PROBE, nonce, Standing.PROBING), Source(link, "bb")))
        return {each for message in said if message.answers == {nonce} for each in message.claims}

    census.receive(0.5, conflict(HIGH, Standing.READY, frozenset({NAME})), Source(UNICAST, "10.0.0.1"))
    assert objects(1.0, "eth0", b"\xc1" * 16) == {MAC}
    assert objects(1.5, UNICAST, b"\xc4" * 16) == BOTH
    assert objects(2.0, "eth1", b"\xc2" * 16) == BOTH
    assert objects(0.6 + DEFAULT_TIMING.expiry_s, "eth0", b"\xc3" * 16) == BOTH


def test_a_daemon_that_starts_again_on_a_ready_machine_does_not_lose() -> None:
    census = probing(Standing.READY)
    assert census.receive(0.2, conflict(LOW, Standing.JOINED)) == (Kept(BOTH, LOW, Standing.JOINED),)
    assert run(census, 5.0)[-1][1] == Clear()


def test_a_flood_of_peers_leaves_a_bounded_table_with_the_latest() -> None:
    census = ready()
    for number in range(PEERS_MAX + 10):
        nonce = number.to_bytes(4, "big") + bytes(12)
        census.receive(100.0, frame(MessageType.ANNOUNCE, nonce, Standing.READY, frozenset({FOREIGN})))
    assert len(census.peers) == PEERS_MAX
    assert census.peers[0].name == "0000000a"
    assert census.peers[-1].name == (PEERS_MAX + 9).to_bytes(4, "big").hex()


def test_what_addresses_a_peer_last_claimed_is_known() -> None:
    census = probing()
    one, other = (claim(KEY, ClaimKind.IPV4, address) for address in ("10.77.0.1", "10.77.0.2"))
    for claimed in (one, other):
        census.receive(0.3, frame(MessageType.PROBE, HIGH, Standing.PROBING, frozenset({FOREIGN, claimed})))
    assert census.peers[0].addresses == {other.token}
    census.receive(0.4, conflict(HIGH, Standing.PROBING, frozenset({NAME})))
    assert census.peers[0].addresses == {other.token}, "a conflict names a part of the claims only"


def test_a_nonce_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce"):
        Census(bytes(15), KEYRING)
