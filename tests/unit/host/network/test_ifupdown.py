"""What ifupdown is asked to do, by whom it is done, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.network import ifupdown
from nodeprep.steps import SetProfile
from tests.fakes.disk import put

UNIT = "nodeprep-ifupdown-eth0.service"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(programs, "run", lambda argv, timeout_s: done.append(argv))
    monkeypatch.setattr(programs, "active_units", lambda units: frozenset())
    return done


@pytest.fixture
def files(tmp_path: Path) -> Files:
    put(tmp_path, "/etc/network/interfaces", b"iface eth0 inet dhcp\niface eth0:1 inet static\n address 10.0.0.1/24\n")
    return Files("test", str(tmp_path))


def test_a_client_is_stopped_and_its_lease_set_aside_before_ifdown_could_release_it(
    tmp_path: Path, files: Files, ran: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = "/var/lib/dhcp/dhclient.eth0.leases"
    other = "/var/lib/dhcp/dhclient.eth1.leases"
    for path in (lease, other, "/var/lib/dhcpcd/duid", "/var/lib/dhcpcd/eth0.lease"):
        put(tmp_path, path, b"template's")
    there: list[bool] = []

    def run(argv: tuple[str, ...], timeout_s: float) -> None:
        ran.append(argv)
        there.append(files.exists(lease))

    monkeypatch.setattr(programs, "run", run)
    ifupdown.manager(files).down("eth0")
    stop, down = ran
    assert "sh" in stop and stop[-1] == "eth0" and "release" not in " ".join(stop)
    assert down[-4:] == ("ifdown", "--force", "eth0:1", "eth0")
    assert there == [True, False]
    assert files.exists(other) and not files.exists("/var/lib/dhcpcd/duid")
    assert files.exists(f"/var/lib/nodeprep/attic/test/files{lease}")


def test_a_client_is_started_by_systemd_and_stays_in_a_unit_of_its_own(
    files: Files, ran: list[tuple[str, ...]]
) -> None:
    ifupdown.manager(files).up("eth0")
    (up,) = ran
    assert up[0] == "systemd-run" and f"--unit={UNIT}" in up and "--remain-after-exit" in up
    assert up[-4:] == ("ifup", "--force", "eth0", "eth0:1")


def test_the_unit_of_a_former_activation_is_stopped_first(
    files: Files, ran: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "active_units", lambda units: units)
    ifupdown.manager(files).down("eth0")
    assert ran[1] == ("systemctl", "stop", UNIT)


@pytest.mark.parametrize("key", ["ifupdown:eth1", "ifupdown:eth0"])
def test_a_link_without_a_stanza_is_not_changed(tmp_path: Path, ran: list[tuple[str, ...]], key: str) -> None:
    with pytest.raises(HostError, match="any more"):
        ifupdown.set_profile(SetProfile(key, "eth0", mac=""), Files("test", str(tmp_path)))
    assert ran == []
