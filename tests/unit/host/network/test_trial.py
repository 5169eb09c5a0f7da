"""A change of files on trial: kept when the link carries, put back when it does not, or was never seen to."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.files import Files
from nodeprep.host.network import carrying, trial
from nodeprep.model import Link, LinkAddress, Profile
from nodeprep.steps import SetProfile
from tests.fakes.disk import put

MAC = "52:54:00:77:00:10"
OWN = "52:54:00:00:00:01"
NEW = "02:00:00:00:00:07"
LAN = "/etc/lan"
CHANGE = SetProfile("lan", "eth0", mac=NEW, ipv4_addresses=("10.77.0.61/24",))
PROFILE = Profile("lan", "lan", "eth0", MAC, "manual", ("10.77.0.10/24",))


class Machine:
    """A link and a manager of it that configures what its file says, as ADDRESS/PREFIX or "dhcp"."""

    def __init__(self, root: Path) -> None:
        self.files = Files("test", str(root))
        self.mac = MAC
        self.addresses: tuple[LinkAddress, ...] = (LinkAddress("10.77.0.10", 24, "global"),)
        self.said: list[str] = []
        self.serves = True
        self.duplicate = ""
        self.gateway: list[bool] = [False]
        put(root, LAN, b"10.77.0.10/24", 0o600)

    def link(self, name: str) -> Link:
        return Link(name, 2, self.mac, OWN, carrier=True, addresses=self.addresses)

    def restart(self, name: str, mac: str) -> None:
        self.said.append(f"restart {mac}")
        self.mac, self.addresses = mac, ()

    def down(self, name: str) -> None:
        self.said.append(f"down {self.files.read_text(LAN)}")

    def up(self, name: str) -> None:
        text = self.files.read_text(LAN) or ""
        self.said.append(f"up {text}")
        if text == "broken":
            raise HostError("it does not start")
        address, _, prefix = text.partition("/")
        if text == "dhcp":
            self.addresses = (LinkAddress("10.77.0.200", 24, "global", dynamic=True),) if self.serves else ()
        else:
            failed = address == self.duplicate
            self.addresses = (LinkAddress(address, int(prefix), "global", dad_failed=failed),)

    def attempt(self, text: str, change: SetProfile = CHANGE, profile: Profile = PROFILE) -> None:
        trial.attempt(change, profile, {LAN: text, "/etc/more": "new"}, self.files, trial.Manager(self.down, self.up))

    def fails(self, text: str, change: SetProfile = CHANGE, profile: Profile = PROFILE) -> str:
        with pytest.raises(HostError) as caught:
            self.attempt(text, change, profile)
        assert self.files.read_text(LAN) == "10.77.0.10/24"
        assert not self.files.exists("/etc/more")
        assert not self.files.exists(trial.UNDER_WAY)
        assert self.mac == MAC
        return str(caught.value)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path / "sys"))  # or the links of this machine would be seen
    made = Machine(tmp_path)
    monkeypatch.setattr(links, "link", made.link)
    monkeypatch.setattr(links, "restart", made.restart)
    monkeypatch.setattr(links, "gateways", lambda name: ("10.77.0.1",))
    monkeypatch.setattr(
        links, "neighbour_answers", lambda *_: made.gateway.pop(0) if len(made.gateway) > 1 else made.gateway[0]
    )
    for name in ("CARRY_TIMEOUT_S", "LEASE_TIMEOUT_S"):
        monkeypatch.setattr(carrying, name, 0.02)
    monkeypatch.setattr(carrying, "POLL_S", 0.001)
    return made


def test_a_change_that_carries_is_kept_and_the_former_file_is_in_the_attic(machine: Machine) -> None:
    machine.attempt("10.77.0.61/24")
    assert machine.said == ["down 10.77.0.10/24", f"restart {NEW}", "up 10.77.0.61/24"]
    assert machine.files.read_text(f"/var/lib/nodeprep/attic/test/files{LAN}") == "10.77.0.10/24"
    assert stat.S_IMODE(os.stat(machine.files.real(LAN)).st_mode) == 0o600
    assert not machine.files.exists(trial.UNDER_WAY)


@pytest.mark.parametrize(("text", "said"), [("10.99.0.1/24", "does not have 10.77.0.61"), ("broken", "not start")])
def test_a_change_that_does_not_carry_is_put_back(machine: Machine, text: str, said: str) -> None:
    told = machine.fails(text)
    assert said in told and told.endswith("rolled back")
    assert machine.said[-2:] == [f"restart {MAC}", "up 10.77.0.10/24"]
    assert [one.address for one in machine.addresses] == ["10.77.0.10"]


def test_an_address_that_is_a_duplicate_is_put_back_at_once(machine: Machine) -> None:
    machine.duplicate = "10.77.0.61"
    assert "duplicate" in machine.fails("10.77.0.61/24")


def test_a_gateway_that_answered_before_must_answer_afterwards(machine: Machine) -> None:
    machine.gateway = [True, False]
    assert "gateway" in machine.fails("10.77.0.61/24")


def test_a_lease_that_was_there_must_be_there_afterwards(machine: Machine) -> None:
    leased = Profile("lan", "lan", "eth0", MAC, "auto")
    machine.addresses = (LinkAddress("10.77.0.200", 24, "global", dynamic=True),)
    machine.serves = False
    assert "leased" in machine.fails("dhcp", SetProfile("lan", "eth0", mac=NEW), leased)
    machine.addresses = (LinkAddress("10.77.0.200", 24, "global", dynamic=True),)
    machine.serves = True
    machine.attempt("dhcp", SetProfile("lan", "eth0", mac=NEW), leased)


def test_an_activation_without_a_change_starts_from_nothing(machine: Machine) -> None:
    trial.attempt(SetProfile("lan", "eth0"), PROFILE, {}, machine.files, trial.Manager(machine.down, machine.up))
    assert machine.said == ["down 10.77.0.10/24", f"restart {MAC}", "up 10.77.0.10/24"]


def test_a_dropped_pin_gives_the_hardwares_mac_back(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.attempt("10.77.0.10/24", SetProfile("lan", "eth0", mac=""))
    assert machine.mac == OWN
    monkeypatch.setattr(links, "link", lambda name: Link(name, 2, MAC, None, carrier=True))
    with pytest.raises(HostError, match="not known"):
        machine.attempt("10.77.0.10/24", SetProfile("lan", "eth0", mac=""))


def test_a_rollback_that_fails_too_is_told(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise HostError("no program")

    with pytest.raises(HostError, match="the rollback failed too: no program"):
        trial.attempt(CHANGE, PROFILE, {LAN: "x"}, machine.files, trial.Manager(refuse, refuse))
    assert machine.files.read_text(LAN) == "10.77.0.10/24"


class Cut(BaseException):
    """The power is cut."""


@pytest.mark.parametrize("at", ["down", "up"])
def test_a_trial_that_was_cut_off_is_undone_by_the_next_run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def cut(name: str) -> None:
        raise Cut

    os.symlink("/usr/share/lan", machine.files.real("/etc/linked"))
    edits = {LAN: "10.77.0.61/24", "/etc/more": "new", "/etc/linked": "new"}
    broken = trial.Manager(cut if at == "down" else machine.down, cut if at == "up" else machine.up)
    monkeypatch.setattr(trial, "_undo", lambda *_: "")
    with pytest.raises(Cut):
        trial.attempt(CHANGE, PROFILE, edits, machine.files, broken)
    assert machine.files.read_text(LAN) == ("10.77.0.61/24" if at == "up" else "10.77.0.10/24")

    asked: list[str] = []

    def manager_of(profile: str) -> trial.Manager:
        asked.append(profile)
        return trial.Manager(machine.down, machine.up)

    said = trial.recover(machine.files, manager_of)
    assert asked == ["lan"] and "undone" in said
    assert machine.files.read_text(LAN) == "10.77.0.10/24"
    assert not machine.files.exists("/etc/more")
    assert os.readlink(machine.files.real("/etc/linked")) == "/usr/share/lan"
    assert machine.said[-1] == "up 10.77.0.10/24"
    assert machine.mac == MAC
    assert trial.recover(machine.files, manager_of) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"profile": "lan"})])
def test_a_torn_note_of_a_trial_is_dropped(machine: Machine, text: str) -> None:
    machine.files.write_own(trial.UNDER_WAY, text.encode(), 0o600)
    assert trial.recover(machine.files, lambda profile: trial.Manager(machine.down, machine.up)) == ""
    assert not machine.files.exists(trial.UNDER_WAY)
    assert machine.said == []
