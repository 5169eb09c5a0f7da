"""The registrar: who has what in the registry, whatever is copied, cut off, restored or away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from nodeprep import incumbent, registrar
from nodeprep.errors import RegistryError
from nodeprep.model import Claim
from nodeprep.registry.claimed import Claimed
from nodeprep.registry.gateway import Put, Txn
from tests.fakes.etcd import MemoryEtcd
from tests.fakes.registered import FLEET_KEY, OTHER_KEY, Machine, MakeMachine, identity

Test = Callable[..., Coroutine[Any, Any, None]]


def looped(test: Test) -> Callable[..., None]:
    """Run a test in an event loop."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incumbent, "ANSWER_S", 0.4)
    monkeypatch.setattr(incumbent, "ASK_AGAIN_S", 0.02)
    monkeypatch.setattr(incumbent, "AGAIN_S", 0.02)
    monkeypatch.setattr(registrar, "LOOK_S", 0.05)
    monkeypatch.setattr(registrar, "SETTLING_LOOK_S", 0.05)


@pytest.fixture
def etcd() -> MemoryEtcd:
    return MemoryEtcd()


@pytest.fixture
def make(tmp_path: Path, etcd: MemoryEtcd) -> MakeMachine:
    return lambda name: Machine(tmp_path / name, etcd, identity(name))


def holders(etcd: MemoryEtcd) -> set[str]:
    return set(etcd.values("claim/").values())


@looped
async def test_what_nobody_has_is_claimed_and_no_identity_is_told(make: MakeMachine, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    assert await one.claim() == Claimed()
    assert one.tenure
    assert etcd.values("claim/") == dict.fromkeys(one.tenure.claims, one.tenure.owner)
    assert len(one.tenure.claims) == 3
    for values in one.claims.values():
        for value in values:
            assert not any(value in text for entry in etcd.entries.items() for text in (entry[0], entry[1].value))


@looped
async def test_an_unchanged_boot_after_an_orderly_shutdown_asks_nobody(make: MakeMachine, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    await one.claim()
    before = one.tenure
    await one.registrar.park()
    one.boot()
    assert await one.claim() == Claimed()
    assert not etcd.values("question/")
    assert one.tenure and before
    assert (one.tenure.owner, one.tenure.claims) == (before.owner, before.claims)


@looped
async def test_a_machine_whose_power_was_cut_takes_its_claims_up_again(make: MakeMachine, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.close()
    one.boot()
    assert await one.claim() == Claimed()
    assert not etcd.values("question/"), "and leaves no question behind"


@looped
async def test_of_copies_of_one_disk_one_keeps_and_the_others_are_renewed(
    make: MakeMachine, etcd: MemoryEtcd, tmp_path: Path
) -> None:
    template = make("golden")
    await template.claim()
    await template.registrar.park()
    copies = [template.copy(tmp_path / f"copy-{number}") for number in range(12)]
    results = await asyncio.gather(*(copy.claim() for copy in copies))
    kept = [result for result in results if result == Claimed()]
    lost = [copy for copy, result in zip(copies, results, strict=True) if copy.is_all(result.lost)]
    assert (len(kept), len(lost)) == (1, 11)
    renewed = await asyncio.gather(*(copy.renew(f"worker-{number}") for number, copy in enumerate(lost)))
    assert renewed == [Claimed()] * 11
    assert len({copy.tenure.owner for copy in copies if copy.tenure}) == 12
    assert len(etcd.values("claim/")) == 36
    assert len(etcd.values("owner/")) == 12


@looped
async def test_copies_of_a_disk_that_never_saw_the_registry(
    make: MakeMachine, etcd: MemoryEtcd, tmp_path: Path
) -> None:
    template = make("golden")
    template.root.mkdir()
    copies = [template.copy(tmp_path / f"copy-{number}") for number in range(6)]
    results = await asyncio.gather(*(copy.claim() for copy in copies))
    first = [result for result in results if result == Claimed()]
    others = [copy for copy, result in zip(copies, results, strict=True) if result.lost]
    # They claim key by key, in one order: whoever has the first has them all.
    assert (len(first), len(others)) == (1, 5)
    await asyncio.gather(*(copy.renew(f"worker-{number}") for number, copy in enumerate(others)))
    assert len(etcd.values("owner/")) == 6, "what they spoke for before is gone"


@looped
async def test_a_copy_of_a_running_machines_disk_loses_to_it(make: MakeMachine, tmp_path: Path) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.defend(one.speaker(), one.claims)
    copy = one.copy(tmp_path / "copy")
    assert copy.is_all((await copy.claim()).lost)
    await asyncio.sleep(0.2)
    assert one.registrar.troubles == ()


@looped
async def test_a_machine_brought_back_from_a_backup_is_doubted_until_an_operator_insists(
    make: MakeMachine, tmp_path: Path, etcd: MemoryEtcd
) -> None:
    one = make("worker-1")
    await one.claim()
    await one.registrar.park()
    backup = one.copy(tmp_path / "backup")
    one.boot()
    await one.claim()
    await one.registrar.park()
    found = await backup.claim()
    assert found.is_copy
    assert backup.is_all(found.doubted)
    assert not found.lost
    before = dict(etcd.entries)
    assert (await backup.claim()).doubted
    assert {k: v for k, v in etcd.entries.items() if "question" not in k} == before, "asking changes nothing"
    assert await backup.claim(insists=True) == Claimed()
    # Should the other come back after all, it is the one that is in doubt.
    one.boot()
    assert (await one.claim()).lost


@looped
async def test_a_machine_that_lost_its_state_is_doubted_and_not_renewed(make: MakeMachine) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.close()
    (one.root / "var/lib/nodeprep/registry.json").write_text("torn")
    one.boot()
    found = await one.claim()
    assert one.is_all(found.doubted)
    assert not found.is_copy
    assert await one.claim(insists=True) == Claimed()


@looped
async def test_what_a_running_machine_has_is_lost_and_not_taken_over_even_by_an_operators_word(
    make: MakeMachine,
) -> None:
    one, other = make("worker-1"), make("worker-2")
    await one.claim()
    other.claims[Claim.HOSTNAME] = frozenset({"worker-1"})
    assert (await other.claim()).lost == {Claim.HOSTNAME: frozenset({"worker-1"})}
    assert (await other.claim(insists=True)).lost == {Claim.HOSTNAME: frozenset({"worker-1"})}
    assert await one.claim() == Claimed()


@looped
async def test_a_machine_that_is_renewed_anyway_asks_no_holder(make: MakeMachine, etcd: MemoryEtcd) -> None:
    gone, clone = make("worker-1"), make("worker-2")
    await gone.claim()
    gone.registrar.close()
    clone.claims[Claim.HOSTNAME] = frozenset({"worker-1"})
    assert (await clone.claim(renews=True)).lost == {Claim.HOSTNAME: frozenset({"worker-1"})}
    assert not etcd.values("question/")


@looped
async def test_a_lost_answer_makes_nobody_a_stranger_to_itself(make: MakeMachine, etcd: MemoryEtcd) -> None:
    for lost_after in range(6):
        one = make(f"worker-{lost_after}")
        left = [lost_after]

        def loses(txn: Txn, left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] == -1

        etcd.loses = loses
        with pytest.raises(RegistryError) as caught:
            await one.claim()
        assert caught.value.code == "registry-away"
        assert await one.claim() == Claimed(), lost_after
        one.registrar.close()
        one.boot()  # cut off just there
        assert await one.claim() == Claimed(), lost_after
        one.registrar.close()
        etcd.loses = None


@looped
async def test_a_copy_made_between_the_note_and_the_claim(make: MakeMachine, tmp_path: Path, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    await one.claim()
    await one.registrar.park()
    one.boot()
    copies: list[Machine] = []

    def copied(txn: Txn) -> None:
        if any(isinstance(operation, Put) and "owner/" in operation.key for operation in txn.then) and not copies:
            copies.append(one.copy(tmp_path / "copy"))
        else:
            etcd.before = copied

    etcd.before = copied
    await one.claim()
    (copy,) = copies
    found = await copy.claim()
    assert copy.is_all(found.lost)


# Numbers


@looped
async def test_the_lowest_number_that_is_free_is_drawn_and_kept_over_boots(make: MakeMachine) -> None:
    def names() -> list[str]:
        return [f"worker-{number:02d}" for number in range(1, 200)]

    machines = [make(f"node-{number}") for number in range(70)]
    drawn = [await one.registrar.draw(one.speaker(renews=True), names()) for one in machines]
    assert drawn == names()[:70]
    assert await machines[3].registrar.draw(machines[3].speaker(renews=True), names()) == "worker-04"
    machines[3].claims[Claim.HOSTNAME] = frozenset({"worker-04"})
    await machines[3].claim(renews=True)
    await machines[3].registrar.begin_giving_up()
    assert await machines[3].registrar.give_up() == 3
    assert await make("late").registrar.draw(make("late").speaker(renews=True), names()) == "worker-04"


@looped
async def test_64_machines_that_draw_at_one_instant_have_the_numbers_from_1_to_64(make: MakeMachine) -> None:
    names = [f"worker-{number:02d}" for number in range(1, 10_000)]
    machines = [make(f"node-{number}") for number in range(64)]
    drawn = await asyncio.gather(*(one.registrar.draw(one.speaker(renews=True), names) for one in machines))
    assert sorted(drawn, key=str) == names[:64]


@looped
async def test_where_every_number_is_taken_none_is_drawn(make: MakeMachine) -> None:
    first, second = make("first"), make("second")
    assert await first.registrar.draw(first.speaker(renews=True), ["a"]) == "a"
    assert await second.registrar.draw(second.speaker(renews=True), ["a"]) is None


@looped
async def test_an_address_of_the_pool_that_another_segment_has_is_not_taken(
    make: MakeMachine, etcd: MemoryEtcd
) -> None:
    first, second = make("first"), make("second")
    await first.claim()
    await second.claim()
    assert await first.registrar.spare(first.speaker(), Claim.IPV4, "10.0.0.9")
    assert not await second.registrar.spare(second.speaker(), Claim.IPV4, "10.0.0.9")
    etcd.is_away = True
    assert await second.registrar.spare(second.speaker(), Claim.IPV4, "10.0.0.9"), "before READY it is seen"


# After READY


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to that")


@looped
async def test_a_registry_that_goes_away_is_told_and_so_is_its_return(make: MakeMachine, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.defend(one.speaker(), one.claims)
    etcd.is_away = True
    await until(lambda: [code for code, _ in one.registrar.troubles] == ["registry-away"])
    assert one.news == 1
    etcd.is_away = False
    await until(lambda: one.registrar.troubles == ())
    assert one.news == 2


@looped
async def test_a_registry_that_forgot_everything_is_told_anew(make: MakeMachine, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.defend(one.speaker(), one.claims)
    whole = {key: entry.value for key, entry in etcd.entries.items() if "owner/" not in key and "fleet" not in key}
    etcd.entries.clear()
    await until(lambda: etcd.values("claim/") == whole)
    assert one.registrar.troubles == ()


@looped
async def test_what_an_operator_changes_is_claimed_and_what_it_was_is_freed(
    make: MakeMachine, etcd: MemoryEtcd
) -> None:
    one, other = make("worker-1"), make("worker-2")
    await one.claim()
    before = set(etcd.values("claim/"))
    one.claims[Claim.HOSTNAME] = frozenset({"renamed"})
    one.registrar.defend(one.speaker(), one.claims)
    await until(lambda: set(etcd.values("claim/")) != before and len(etcd.values("claim/")) == 3)
    other.claims[Claim.HOSTNAME] = frozenset({"renamed"})
    await other.claim()
    other.registrar.defend(other.speaker(), other.claims)
    await until(lambda: [code for code, _ in other.registrar.troubles] == ["claimed"])
    assert "hostname renamed" in other.registrar.troubles[0][1]


@looped
async def test_a_copy_that_an_operator_insists_on_is_told_by_the_machine_that_was_cut_off_from_the_registry(
    make: MakeMachine, tmp_path: Path, etcd: MemoryEtcd
) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.defend(one.speaker(), one.claims)
    copy = one.copy(tmp_path / "copy")
    one.door = one.incumbent._door = MemoryEtcd(is_away=True)
    assert await copy.claim(insists=True) == Claimed()
    one.incumbent._door = etcd
    await until(lambda: [code for code, _ in one.registrar.troubles] == ["registry-copy"])


# Refusals, and waiting


@looped
async def test_a_registry_of_another_fleet_key_is_refused_and_one_that_was_known_before_is_not(
    make: MakeMachine,
) -> None:
    one, other = make("worker-1"), make("worker-2")
    await one.claim()
    other.boot(fleet_keys=(OTHER_KEY,))
    with pytest.raises(RegistryError, match="another fleet key") as caught:
        await other.claim()
    assert caught.value.code == "registry-refused"
    other.boot(fleet_keys=(OTHER_KEY, FLEET_KEY))
    other.claims[Claim.HOSTNAME] = frozenset({"worker-1"})
    assert (await other.claim()).lost == {Claim.HOSTNAME: frozenset({"worker-1"})}


@looped
async def test_a_registry_is_waited_for_as_long_as_is_configured_and_only_once(
    make: MakeMachine, etcd: MemoryEtcd
) -> None:
    one = make("worker-1")
    one.boot(wait_s=0.5)
    etcd.is_away = True
    loop = asyncio.get_running_loop()
    for least_s, most_s in ((0.5, 2.0), (0.0, 0.3)):
        began_s = loop.time()
        with pytest.raises(RegistryError):
            await one.claim()
        assert least_s <= loop.time() - began_s <= most_s
    one.boot(wait_s=5.0)
    loop.call_later(0.2, setattr, etcd, "is_away", False)
    assert await one.claim() == Claimed()


@looped
async def test_what_is_given_up_is_not_claimed_again_in_this_boot_but_in_the_next(
    make: MakeMachine, etcd: MemoryEtcd
) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.defend(one.speaker(), one.claims)
    (one.root / "run/nodeprep").mkdir(parents=True)
    (one.root / "run/nodeprep/released").touch()
    assert await one.registrar.give_up() == 3
    await until(lambda: [code for code, _ in one.registrar.troubles] == ["released"])
    assert not etcd.values("claim/") and not etcd.values("owner/")
    with pytest.raises(RegistryError) as caught:
        await one.claim()
    assert caught.value.code == "released"
    one.boot()
    assert await one.claim() == Claimed()


@looped
async def test_a_name_is_freed_only_if_the_machine_that_has_it_is_gone(make: MakeMachine, etcd: MemoryEtcd) -> None:
    one, other = make("worker-1"), make("worker-2")
    await one.claim()
    with pytest.raises(RegistryError, match="runs"):
        await other.registrar.free(Claim.HOSTNAME, "worker-1")
    one.registrar.close()
    assert await other.registrar.free(Claim.HOSTNAME, "worker-1")
    assert not await other.registrar.free(Claim.HOSTNAME, "worker-1")
    assert len(etcd.values("claim/")) == 2


@looped
async def test_a_copy_cannot_give_up_what_its_original_has(make: MakeMachine, tmp_path: Path, etcd: MemoryEtcd) -> None:
    one = make("worker-1")
    await one.claim()
    copy = one.copy(tmp_path / "copy")
    with pytest.raises(RegistryError, match="another copy"):
        await copy.registrar.begin_giving_up()
    assert len(etcd.values("claim/")) == 3


@looped
async def test_a_daemon_that_starts_again_while_the_registry_is_away_takes_up_its_claims_when_it_is_back(
    make: MakeMachine, etcd: MemoryEtcd
) -> None:
    one = make("worker-1")
    await one.claim()
    one.registrar.close()
    one.restart()
    etcd.is_away = True
    with pytest.raises(RegistryError) as caught:
        await one.claim()
    one.registrar.troubles = ((caught.value.code, str(caught.value)),)
    one.registrar.defend(one.speaker(), one.claims)
    await asyncio.sleep(0.2)
    assert one.news == 0
    etcd.is_away = False
    await until(lambda: one.registrar.troubles == ())
    assert one.news == 1
    assert not etcd.values("question/"), "it knows itself by its boot"


@looped
async def test_the_fleet_changes_its_key_and_nothing_can_be_had_twice_on_the_way(
    make: MakeMachine, etcd: MemoryEtcd
) -> None:
    old, new = FLEET_KEY, OTHER_KEY
    one, other = make("worker-1"), make("worker-2")
    for keys in ((old,), (old, new), (new, old), (new,)):
        for machine in (one, other):
            machine.registrar.close()
            machine.restart(fleet_keys=keys)
            assert await machine.claim() == Claimed()
            late = make(f"late-{len(etcd.entries)}-{keys[0][0]}")
            late.boot(fleet_keys=keys)
            late.claims[Claim.HOSTNAME] = machine.claims[Claim.HOSTNAME]
            assert (await late.claim()).lost == {Claim.HOSTNAME: machine.claims[Claim.HOSTNAME]}
            late.registrar.close()
    assert one.tenure and len(one.tenure.claims) == 3, "what was claimed under the former key is free"
    gone = make("gone")
    with pytest.raises(RegistryError, match="another fleet key"):
        await gone.claim()
