"""The order in which a profile is changed, and what is left of a change that failed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.bus import Bus, BusError, Variant, plain
from nodeprep.host.network import networkmanager
from nodeprep.host.network.networkmanager import ACTIVATED, DEACTIVATED, DEVICE_ACTIVATED, NetworkManager
from nodeprep.model import Link, LinkAddress
from nodeprep.steps import SetProfile

UUID = "5b6f0a3e-1111-4c55-9d1e-0c0ffee00001"
FILE = "/etc/NetworkManager/system-connections/lan.nmconnection"
CHANGE = SetProfile(UUID, "eth0", "02:00:00:00:00:07", ("10.77.0.61/24",))


class Fake(Bus):
    """A bus with a NetworkManager that does as it is told and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.settings = {
            "connection": {"uuid": Variant("s", UUID), "id": Variant("s", "lan")},
            "ipv4": {"method": Variant("s", "auto")},
        }
        self.former = plain(self.settings)
        self.saved: Any = None
        self.activation = ACTIVATED
        self.owners = [":1.1"]
        self.refuses: frozenset[str] = frozenset()
        self.startup = [False]
        self.flags = {"/c/1": 0}

    async def call(self, *arguments: Any, **options: Any) -> list[Any]:
        _destination, path, _interface, member, _signature, body = (*arguments, "", ())[:6]
        if member == "Get":
            return [self.property(path, body[1])]
        if member == "GetAll":
            return [{"Uuid": UUID, "Devices": ["/d/1"]}]
        if member in self.refuses:
            raise BusError(member, "org.freedesktop.NetworkManager.Failed", "refused")
        return self.answer(member, list(body), options.get("unwrap", True))

    def property(self, path: str, name: str) -> Any:
        return {
            "State": self.activation if path == "/a/1" else DEVICE_ACTIVATED,
            "StateReason": [120, 5],
            "Filename": FILE,
            "Ip4Config": "/ip4",
            "Ip6Config": "/",
            "Gateway": "10.77.0.1",
            "ActiveConnections": ["/a/1"],
            "Interface": "eth0",
            "Flags": self.flags.get(path, 0),
            "Startup": self.startup.pop(0) if len(self.startup) > 1 else self.startup[0],
        }[name]

    def answer(self, member: str, body: list[Any], unwrap: bool) -> list[Any]:
        silent: dict[str, list[Any]] = {
            "GetConnectionByUuid": ["/c/1"],
            "GetDeviceByIpIface": ["/d/1"],
            "GetSettings": [plain(self.settings) if unwrap else self.settings],
            "ListConnections": [list(self.flags)],
            "NameHasOwner": [bool(self.owners[0])],
        }
        if member == "GetNameOwner":
            return [self.owners.pop(0) if len(self.owners) > 1 else self.owners[0]]
        if member in silent:
            return silent[member]
        self.calls.append(f"{member} {body[1] & 3}" if member == "Update2" else member)
        if member == "Update2":
            self.settings = body[0] or self.settings
            if body[1] & networkmanager.TO_DISK:
                self.saved = plain(self.settings)
        answers: dict[str, list[Any]] = {
            "CheckpointCreate": ["/k/1"],
            "ActivateConnection": ["/a/1"],
            "CheckpointRollback": [{"/d/1": 0}],
        }
        return answers.get(member, [])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("ACTIVATION_TIMEOUT_S", "CARRY_TIMEOUT_S", "RETURN_TIMEOUT_S"):
        monkeypatch.setattr(networkmanager, name, 0.05)
    monkeypatch.setattr(networkmanager, "POLL_S", 0.001)
    monkeypatch.setattr(networkmanager, "RUNTIME", f"{tmp_path}/")
    monkeypatch.setattr(links, "neighbour_answers", lambda *_: True)
    monkeypatch.setattr(links, "set_link_mac", lambda *_: None)
    see(monkeypatch)


def see(
    monkeypatch: pytest.MonkeyPatch,
    mac: str = "02:00:00:00:00:07",
    address: str = "10.77.0.61",
    *,
    carrier: bool = True,
    dad_failed: bool = False,
) -> None:
    held = (LinkAddress(address=address, prefix_length=24, scope="global", dad_failed=dad_failed),)
    seen = Link(name="eth0", index=2, mac=mac, permanent_mac=None, carrier=carrier, addresses=held)
    monkeypatch.setattr(links, "link", lambda name: seen)


def fails(bus: Fake, change: SetProfile = CHANGE) -> str:
    with pytest.raises(HostError) as caught:
        asyncio.run(NetworkManager(bus).set_profile(change))
    return str(caught.value)


def test_a_change_goes_to_disk_after_the_link_was_seen_to_carry() -> None:
    bus = Fake()
    asyncio.run(NetworkManager(bus).set_profile(CHANGE))

    assert bus.calls == ["CheckpointCreate", "Update2 2", "ActivateConnection", "Update2 1", "CheckpointDestroy"]
    assert bus.saved["802-3-ethernet"] == {"assigned-mac-address": "02:00:00:00:00:07"}
    assert bus.saved["ipv4"]["address-data"] == [{"address": "10.77.0.61", "prefix": 24}]


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"mac": "02:00:00:00:00:01"}, "the MAC 02:00:00:00:00:01"),
        ({"address": "10.77.0.50"}, "does not have 10.77.0.61/24"),
        ({"dad_failed": True}, "is a duplicate"),
        ({"carrier": False}, "no carrier"),
    ],
)
def test_a_link_that_does_not_carry_is_rolled_back_and_nothing_goes_to_disk(
    monkeypatch: pytest.MonkeyPatch, seen: dict[str, Any], said: str
) -> None:
    bus = Fake()
    see(monkeypatch, **seen)

    assert said in fails(bus)
    assert bus.calls[-1] == "CheckpointRollback" and bus.saved is None


def test_a_failed_activation_is_rolled_back_with_its_reason() -> None:
    bus = Fake()
    bus.activation = DEACTIVATED

    said = fails(bus)

    assert "NMDeviceStateReason 5" in said and said.endswith("rolled back")
    assert bus.saved is None


def test_an_activation_that_never_ends_is_rolled_back() -> None:
    bus = Fake()
    bus.activation = 1

    assert "not activated within" in fails(bus)
    assert bus.calls[-1] == "CheckpointRollback"


def test_a_gateway_that_answered_before_must_answer_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Fake()
    answers = iter([True])
    monkeypatch.setattr(links, "neighbour_answers", lambda *_: next(answers, False))

    assert "gateway" in fails(bus)
    assert bus.saved is None


def test_a_gateway_that_was_dead_before_may_stay_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Fake()
    monkeypatch.setattr(links, "neighbour_answers", lambda *_: False)

    asyncio.run(NetworkManager(bus).set_profile(CHANGE))

    assert bus.saved


def test_a_networkmanager_that_was_restarted_meanwhile_gets_the_former_profile_and_mac(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = Fake()
    bus.owners = [":1.1", ":1.2"]
    macs: list[tuple[str, str]] = []
    monkeypatch.setattr(links, "set_link_mac", lambda *given: macs.append(given))

    assert "restarted" in fails(bus)
    assert "CheckpointRollback" not in bus.calls
    assert macs == [("eth0", "02:00:00:00:00:07")]
    assert plain(bus.settings) == bus.former


def test_a_networkmanager_that_is_gone_starts_without_the_change(tmp_path: Any) -> None:
    (tmp_path / "lan.nmconnection").write_text(f"[connection]\nuuid={UUID}\n")
    (tmp_path / "other.nmconnection").write_text("[connection]\nuuid=another\n")
    bus = Fake()
    bus.owners = [":1.1", ""]

    assert "gone" in fails(bus)
    assert [path.name for path in tmp_path.iterdir()] == ["other.nmconnection"]


def test_a_refused_update_is_rolled_back() -> None:
    bus = Fake()
    bus.refuses = frozenset({"Update2"})

    assert fails(bus).endswith("rolled back")


def test_without_a_checkpoint_nothing_is_changed() -> None:
    bus = Fake()
    bus.refuses = frozenset({"CheckpointCreate"})
    fails(bus)

    assert bus.calls == []


def test_a_cancelled_change_is_rolled_back() -> None:
    bus = Fake()
    bus.activation = 1

    async def cancel() -> None:
        task = asyncio.ensure_future(NetworkManager(bus).set_profile(CHANGE))
        for _ in range(500):
            if "ActivateConnection" in bus.calls:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert bus.calls[-1] == "CheckpointRollback"


def test_a_link_asked_to_lease_must_have_an_ipv4_address(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Fake()
    see(monkeypatch, address="fd77::1")

    assert "leased" in fails(bus, SetProfile(UUID, "eth0", None, ()))


def test_profiles_are_those_that_are_somebodys() -> None:
    bus = Fake()
    bus.flags = {"/c/1": 0, "/c/2": networkmanager.FLAG_EXTERNAL}

    (profile,) = asyncio.run(NetworkManager(bus).profiles())

    assert (profile.key, profile.link, profile.title) == (UUID, "eth0", "lan")


def test_waiting_for_the_startup_ends_either_way() -> None:
    bus = Fake()
    bus.startup = [True, True, False]
    assert asyncio.run(NetworkManager(bus).wait_startup(1.0))

    bus.startup = [True]
    assert not asyncio.run(NetworkManager(bus).wait_startup(0.01))


def test_a_networkmanager_that_has_its_name_and_does_not_answer_yet_is_still_starting() -> None:
    class Early(Fake):
        async def call(self, *arguments: Any, **options: Any) -> list[Any]:
            if arguments[3] == "Get" and self.startup.pop(0):
                raise BusError(arguments[3], "org.freedesktop.DBus.Error.UnknownMethod", "Object does not exist")
            return [self.owners[0] != ""] if arguments[3] == "NameHasOwner" else [False]

    bus = Early()
    bus.startup = [True, True, False]
    assert asyncio.run(NetworkManager(bus).wait_startup(1.0))

    bus.startup = [True, True, True, False]
    assert asyncio.run(NetworkManager(bus).wait_startup(0.0)), "its time counts from its first answer"

    bus.startup, bus.owners = [True], [""]
    with pytest.raises(HostError, match="UnknownMethod"):
        asyncio.run(NetworkManager(bus).wait_startup(1.0))
