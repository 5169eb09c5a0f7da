"""Many machines on one segment: what must hold whatever is lost, late, doubled or out of order."""

from __future__ import annotations

import pytest

from nodeprep.peers.message import ClaimKind, MessageType, Reason, Standing, claim, decode
from nodeprep.peers.rules import DEFAULT_TIMING, Clear, Dispute, Kept, Lost, Outcome, Resolved
from tests.unit.peers.segment import FLEET_KEY, RENEWALS_MAX, TEMPLATE, Machine, Segment

LOW, HIGH = bytes(16), b"\xff" * 16


def settled(segment: Segment) -> None:
    """Assert what must hold on every segment where all machines could renew."""
    assert segment.shared() == []
    assert len(segment.ready()) == len(segment.machines)
    for machine in segment.machines:
        assert machine.renewals <= RENEWALS_MAX
        assert len(machine.said(Clear)) == 1
        assert not machine.said(Dispute)
        ready_at = next(at for at, effect in enumerate(machine.log) if isinstance(effect, Clear))
        assert not any(isinstance(effect, Lost) for effect in machine.log[ready_at:])


def keepers(segment: Segment) -> list[Machine]:
    return [machine for machine in segment.ready() if machine.claims & TEMPLATE]


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize(("count", "seeds", "seconds"), [(2, 60, 4.0), (3, 40, 5.0), (10, 6, 6.0)])
def test_twins_that_boot_at_one_instant_part_and_one_keeps(count: int, seeds: int, seconds: float, loss: float) -> None:
    for seed in range(seeds):
        segment = Segment(seed, loss=loss, duplication=0.05)
        for _ in range(count):
            segment.boot()
        segment.run(seconds)
        settled(segment)
        assert len(keepers(segment)) == 1


def test_the_lowest_nonce_keeps_when_no_frame_is_lost() -> None:
    for seed in range(20):
        segment = Segment(seed)
        others = [segment.boot(nonce=bytes((number,)) * 16) for number in (9, 3, 7)]
        segment.run(5.0)
        assert keepers(segment) == [others[1]]
        assert others[1].renewals == 0


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_fifty_twins_part_at_the_cost_of_a_few_frames_each(loss: float) -> None:
    segment = Segment(1, loss=loss)
    for _ in range(50):
        segment.boot()
    segment.run(0.19)
    assert 100 < len(segment.frames) < 50 * 6
    segment.run(2.4)
    settled(segment)
    assert len(keepers(segment)) == 1


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_machines_that_draw_from_a_small_pool_part_in_a_few_rounds(loss: float) -> None:
    for seed in range(6):
        segment = Segment(seed, loss=loss, pool=30)
        for _ in range(6):
            segment.boot(frozenset({claim(FLEET_KEY, ClaimKind.IPV4, "template")}))
        segment.run(15.0)
        settled(segment)
        assert max(machine.renewals for machine in segment.machines) <= 4


@pytest.mark.parametrize("nonces", [(LOW, HIGH), (HIGH, LOW)])
def test_a_ready_node_keeps_when_its_twin_boots(nonces: tuple[bytes, bytes]) -> None:
    for seed in range(60):
        segment = Segment(seed, duplication=0.1)
        first = segment.boot(nonce=nonces[0])
        segment.run(3.0)
        segment.loss = 0.3
        second = segment.boot(nonce=nonces[1])
        segment.run(4.0)
        settled(segment)
        assert keepers(segment) == [first]
        assert first.renewals == 0
        assert second.renewals == 1


def test_both_twins_learn_of_the_contest_from_two_frames() -> None:
    segment = Segment(1)
    first = segment.boot(nonce=HIGH)
    segment.run(3.0)
    before = len(segment.frames)
    second = segment.boot(nonce=LOW)
    segment.run(0.1)
    said = [decode(payload, FLEET_KEY) for _, _, payload in segment.frames[before:]]
    assert [message.type for message in said] == [MessageType.PROBE, MessageType.CONFLICT, MessageType.CONFLICT]
    assert [type(effect) for effect in second.log] == [Lost]
    assert first.log[-1] == Kept(TEMPLATE, LOW, Standing.PROBING)


def test_twins_that_missed_one_another_dispute_after_a_few_announcements() -> None:
    for seed in range(30):
        segment = Segment(seed)
        first = segment.boot()
        segment.cut = {0}
        second = segment.boot()
        segment.run(2.0)
        assert segment.shared() == [(first, second)]
        segment.cut = set()
        segment.loss = 0.3
        segment.run(15.0)
        for machine in (first, second):
            assert len(machine.said(Dispute)) == 1
            assert machine.claims == TEMPLATE
            assert not machine.said(Lost)


def test_a_dispute_lasts_as_long_as_both_are_there_and_no_longer() -> None:
    segment = Segment(7, loss=0.3)
    segment.cut = {0}
    first, second = segment.boot(), segment.boot()
    segment.run(2.0)
    segment.cut = set()
    segment.run(300.0)
    assert [peer.outcome for peer in first.census.peers] == [Outcome.DISPUTE]
    assert not first.said(Resolved)
    before = len(segment.frames)
    segment.run(100.0)
    assert len(segment.frames) - before < 100 * 2 * 7 / DEFAULT_TIMING.contested_max_s
    segment.cut = {1}
    segment.run(2 * DEFAULT_TIMING.expiry_s)
    assert len(first.said(Resolved)) == len(second.said(Resolved)) == 1


def test_joined_twins_both_hold_until_one_is_switched_off() -> None:
    for seed in range(10):
        segment = Segment(seed, loss=0.3)
        first, second = (segment.boot(standing=Standing.JOINED) for _ in range(2))
        segment.run(100.0)
        assert segment.ready() == []
        assert first.said(Dispute)
        assert second.said(Dispute)
        segment.cut = {second.number}
        segment.run(60.0)
        assert first.ready_s is not None
        assert first.claims == TEMPLATE


def test_a_joined_clone_holds_beside_the_ready_node_it_was_copied_from() -> None:
    for seed in range(10):
        segment = Segment(seed, loss=0.3)
        original = segment.boot()
        segment.run(2.0)
        copy = segment.boot(standing=Standing.JOINED)
        segment.run(100.0)
        assert segment.ready() == [original]
        assert copy.said(Lost)
        assert not original.said(Dispute)
        segment.cut = {original.number}
        segment.run(60.0)
        assert copy.ready_s is not None


def test_a_joined_node_keeps_against_its_twins_that_are_not() -> None:
    for seed in range(10):
        segment = Segment(seed, loss=0.3)
        joined = segment.boot(standing=Standing.JOINED, nonce=HIGH)
        for _ in range(3):
            segment.boot()
        segment.run(6.0)
        settled(segment)
        assert keepers(segment) == [joined]


def test_recordings_of_earlier_boots_change_nothing() -> None:
    earlier = Segment(1, loss=0.3)
    for _ in range(4):
        earlier.boot()
    earlier.run(5.0)
    recording = [payload for _, _, payload in earlier.frames]
    assert {decode(payload, FLEET_KEY).type for payload in recording} == set(MessageType)

    segment = Segment(2)
    established = segment.boot()
    segment.run(2.0)
    other = frozenset({claim(FLEET_KEY, ClaimKind.HOSTNAME, "other")})
    booting = segment.boot(other)
    assert any(decode(payload, FLEET_KEY).claims & established.claims for payload in recording)
    for _ in range(20):
        segment.inject(recording[::7])
        segment.run(0.05)
    segment.run(60.0)
    assert [type(effect) for effect in established.log] == [Clear]
    assert [type(effect) for effect in booting.log] == [Clear]
    assert booting.clear_s is not None
    assert booting.clear_s <= 2.75


def test_a_booting_twin_is_clear_in_time_under_a_recording_of_its_own_template() -> None:
    earlier = Segment(1)
    earlier.boot()
    earlier.boot()
    earlier.run(5.0)
    segment = Segment(2)
    machine = segment.boot()
    for _ in range(20):
        segment.inject(payload for _, _, payload in earlier.frames)
        segment.run(0.05)
    assert [type(effect) for effect in machine.log] == [Clear]
    assert machine.clear_s is not None
    assert machine.clear_s <= 0.75
    assert all(peer.outcome is None for peer in machine.census.peers)


def test_frames_of_a_foreign_fleet_change_nothing() -> None:
    segment = Segment(3)
    machine = segment.boot()
    segment.boot(fleet_key=bytes(32))
    segment.run(5.0)
    assert [type(effect) for effect in machine.log] == [Clear]
    assert machine.census.rejected[Reason.UNAUTHENTIC] > DEFAULT_TIMING.probe_num
    assert machine.census.peers == ()
    assert machine.clear_s is not None
    assert machine.clear_s <= 0.75


def test_machines_that_hold_beside_a_ready_one_leave_it_to_it_to_object() -> None:
    segment = Segment(8)
    keeper = segment.boot(nonce=HIGH)
    segment.run(1.0)
    for _ in range(20):
        segment.boot().renewals = RENEWALS_MAX
    segment.run(30.0)
    assert keeper.ready_s is not None and segment.ready() == [keeper]
    before = len(segment.frames)
    segment.run(60.0)
    said = [decode(payload, FLEET_KEY) for _, _, payload in segment.frames[before:]]
    assert {message.nonce for message in said if message.answers and not message.heard} == {HIGH}
    newcomer = segment.boot()
    segment.run(1.0)
    assert newcomer.said(Lost)


@pytest.mark.parametrize("count", [1, 40])
def test_an_uncontested_probe_costs_as_much_beside_one_node_as_beside_forty(count: int) -> None:
    segment = Segment(5)
    for number in range(count):
        segment.boot(frozenset({claim(FLEET_KEY, ClaimKind.HOSTNAME, f"node-{number}")}))
    segment.run(1.0)
    before = len(segment.frames)
    newcomer = segment.boot(frozenset({claim(FLEET_KEY, ClaimKind.HOSTNAME, "newcomer")}))
    segment.run(0.75)
    frames = segment.frames[before:]
    assert newcomer.ready_s is not None
    assert len([1 for _, sender, _ in frames if sender == newcomer.number]) == DEFAULT_TIMING.probe_num + 1
    others = {decode(payload, FLEET_KEY).type for _, sender, payload in frames if sender != newcomer.number}
    assert others <= {MessageType.ANNOUNCE}
