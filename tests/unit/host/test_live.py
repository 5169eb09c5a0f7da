"""Who has which link in hand, and to whom a change goes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import hostnamed, links, witness
from nodeprep.host import live as live_module
from nodeprep.host.bus import Bus
from nodeprep.host.files import Files
from nodeprep.host.live import LATE_S, NETWORKD, Live
from nodeprep.host.network import ifupdown, netplan, networkd, trial
from nodeprep.host.network.networkmanager import NetworkManager
from nodeprep.model import Link, Profile
from nodeprep.steps import SetProfile

LINKS = tuple(Link(f"eth{n}", n, f"52:54:00:00:00:0{n}", None, carrier=True) for n in range(4))


class NobodysBus(Bus):
    async def has_owner(self, name: str) -> bool:
        return name == NETWORKD


@pytest.fixture
def managers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Give each link to another manager; NetworkManager has a profile that names each, and is active on one."""
    changed: list[str] = []

    async def running(self: NetworkManager) -> bool:
        return True

    async def profiles(self: NetworkManager) -> tuple[Profile, ...]:
        return tuple(Profile(f"uuid-{link.name}", link.name, link.name, None) for link in LINKS)

    async def set_profile(self: NetworkManager, change: SetProfile) -> None:
        changed.append(f"NetworkManager {change.profile}")

    async def hostname(bus: Bus) -> str:
        return "worker"

    def noted(name: str) -> Any:
        return lambda change, *_: changed.append(f"{name} {change.profile}")

    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path))
    monkeypatch.setattr(links, "links", lambda only: LINKS)
    monkeypatch.setattr(hostnamed, "static_hostname", hostname)
    monkeypatch.setattr(NetworkManager, "running", running)
    monkeypatch.setattr(NetworkManager, "profiles", profiles)
    monkeypatch.setattr(NetworkManager, "set_profile", set_profile)
    theirs = ("networkd:/etc/lan.network", "networkd:/run/systemd/network/10-netplan-lan.network")
    found = tuple(Profile(key, key, link.name, None) for key, link in zip(theirs, LINKS, strict=False))
    monkeypatch.setattr(networkd, "profiles", lambda *_: found)
    monkeypatch.setattr(ifupdown, "profiles", lambda *_: (Profile("ifupdown:eth2", "iface eth2", "eth2", None),))
    for module in (networkd, netplan, ifupdown):
        monkeypatch.setattr(module, "set_profile", noted(module.NAME))
    return changed


def test_a_link_has_the_profile_of_who_has_it_in_hand(managers: list[str]) -> None:
    async def look() -> tuple[Profile, ...]:
        return (await Live(NobodysBus()).view("test")).profiles()

    found = asyncio.run(look())
    assert {profile.link: profile.key for profile in found if profile.link} == {
        "eth0": "networkd:/etc/lan.network",
        "eth1": "netplan:lan",
        "eth2": "ifupdown:eth2",
        "eth3": "uuid-eth3",
    }
    assert len(found) == 7


def test_a_change_goes_to_the_manager_of_the_profile(managers: list[str]) -> None:
    async def change() -> None:
        live = Live(NobodysBus())
        for key in ("networkd:/etc/lan.network", "netplan:lan", "ifupdown:eth2", "uuid-eth3"):
            await asyncio.to_thread(live.set_profile, SetProfile(key, "eth0"))

    asyncio.run(change())
    assert managers == [
        "networkd networkd:/etc/lan.network",
        "netplan netplan:lan",
        "ifupdown ifupdown:eth2",
        "NetworkManager uuid-eth3",
    ]


def test_networkd_is_waited_for_but_not_for_ever_and_a_trial_is_undone_before(
    managers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    starting = [True, True, False]
    undone: list[Files] = []
    monkeypatch.setattr(trial, "recover", lambda files, manager_of: undone.append(files))
    monkeypatch.setattr(networkd, "starting", lambda *_: starting.pop(0) if len(starting) > 1 else starting[0])

    async def started(self: NetworkManager, timeout_s: float) -> bool:
        return True

    monkeypatch.setattr(NetworkManager, "wait_startup", started)

    async def settled(timeout_s: float) -> bool:
        return await Live(NobodysBus()).settled(timeout_s)

    assert asyncio.run(settled(5.0))
    assert len(undone) == 1
    starting[:] = [True]
    assert not asyncio.run(settled(0.0))


def test_after_a_wait_that_was_in_vain_nobody_waits_as_long_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    answers = [True, False, False, True, True]

    async def settled(self: Live, timeout_s: float) -> bool:
        waits.append(timeout_s)
        return answers[len(waits) - 1]

    async def several() -> None:
        live = Live(NobodysBus())
        for _ in answers[:-1]:
            await live.settled(20.0)
        await live.settled(1.0)

    monkeypatch.setattr(Live, "_settled", settled)
    asyncio.run(several())
    assert waits == [20.0, 20.0, LATE_S, LATE_S, 1.0]


class SystemdsBus(Bus):
    """A systemd whose unit takes some looks to end, and then has answered."""

    def __init__(self, answer: str, result: str = "success", looks: int = 3) -> None:
        super().__init__()
        self.answer, self.result, self.looks = answer, result, looks
        self.calls: list[tuple[str, Any]] = []
        self.question = ""

    async def call(self, *arguments: Any, **_: Any) -> list[Any]:
        member, body = arguments[3], arguments[5]
        self.calls.append((member, tuple(body)))
        if member == "StartUnit":
            self.question = Path(witness.QUESTION).read_text()
            for path in (witness.QUESTION, witness.ANSWER):
                assert Path(path).stat().st_mode & 0o777 == 0o600
            Path(witness.ANSWER).write_text(self.answer)
        return [f"/unit/{body[0]}"]

    async def get_property(
        self, destination: str, path: str, interface: str, name: str, timeout_s: float = 1.0, *, start: bool = True
    ) -> Any:
        self.calls.append((name, path))
        if name == "Result":
            return self.result
        self.looks -= 1
        return (7, "/job/7") if self.looks > 0 else (0, "/")


@pytest.fixture
def search_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    monkeypatch.setattr(witness, "QUESTION", str(tmp_path / "question"))
    monkeypatch.setattr(witness, "ANSWER", str(tmp_path / "answer"))
    monkeypatch.setattr(live_module, "POLL_S", 0.0)
    return tmp_path / "question", tmp_path / "answer"


async def holders(bus: Bus) -> tuple[str, ...]:
    return await Live(bus).holders("c0ffee" * 5 + "c0")


def test_who_holds_the_id_is_asked_by_files_alone(search_files: tuple[Path, Path]) -> None:
    bus = SystemdsBus("12 agent\n40\n")
    assert asyncio.run(holders(bus)) == ("12 agent",)
    assert bus.question == "c0ffee" * 5 + "c0"
    assert "c0ffee" not in str(bus.calls)
    assert bus.calls[0] == ("StartUnit", ("nodeprep-witness.service", "replace"))
    assert [name for name, _ in bus.calls].count("Job") == 3
    assert not any(path.exists() for path in search_files)


@pytest.mark.parametrize(
    ("answer", "result", "words"),
    [
        ("12 agent\n40\n", "timeout", "nodeprep-witness.service: timeout"),
        ("", "success", "no answer"),
        ("0\n", "success", "no process to look at"),
    ],
)
def test_a_search_that_was_not_made_is_not_taken_for_one_that_found_nothing(
    search_files: tuple[Path, Path], answer: str, result: str, words: str
) -> None:
    with pytest.raises(HostError, match=words):
        asyncio.run(holders(SystemdsBus(answer, result)))
    assert not any(path.exists() for path in search_files)


def test_a_search_is_not_waited_for_for_ever(search_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "SEARCH_TIMEOUT_S", 0.0)
    with pytest.raises(HostError, match="not done within"):
        asyncio.run(holders(SystemdsBus("40\n", looks=1000)))
    assert not any(path.exists() for path in search_files)
