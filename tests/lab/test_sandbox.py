"""The sandbox on a running machine: what the daemon may not do itself is done for it, by units that can do no more."""

from __future__ import annotations

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import MAC

pytestmark = pytest.mark.usefixtures("golden")

DOOR = "nodeprep-packets.socket"
BEHIND = "nodeprep-packets.service"


def shown(machine: Clone, unit: str, name: str) -> str:
    return machine.run("systemctl", "show", "-P", name, unit).stdout.strip()


def packet_sockets(machine: Clone, pid: str) -> int:
    """Return how many packet sockets a process has open."""
    inodes = 'awk \'NR > 1 { print "socket:[" $9 "]" }\' /proc/net/packet'
    counted = f'readlink /proc/{pid}/fd/* | grep -cFx "$({inodes})"'
    return int(machine.run("sh", "-c", counted, check=False).stdout)


def test_the_daemon_has_its_packet_sockets_from_a_unit_that_keeps_none(make_clone: MakeClone) -> None:
    machine = make_clone("alone", mac=MAC)
    machine.boot()
    ready(machine)
    main, behind = (shown(machine, unit, "MainPID") for unit in ("nodeprep.service", BEHIND))
    assert packet_sockets(machine, main) > 0
    assert packet_sockets(machine, behind) == 0
    status = machine.run("cat", f"/proc/{behind}/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 1 << 13, "CAP_NET_RAW"
    assert machine.run("stat", "-c", "%a %U", "/run/nodeprep/packets.socket").stdout.split() == ["600", "root"]

    # It leaves when nobody asks, is started anew with the daemon, and comes back after its own end when it is asked.
    machine.wait_for(lambda: shown(machine, BEHIND, "ActiveState") == "inactive", 40.0)
    assert packet_sockets(machine, main) > 0
    machine.run("systemctl", "restart", "nodeprep.service", timeout=90.0)
    assert shown(machine, BEHIND, "MainPID") not in ("0", behind)
    machine.run("systemctl", "kill", "--signal=KILL", BEHIND)
    machine.wait_for(lambda: shown(machine, BEHIND, "ActiveState") == "failed", 10.0)
    machine.run("systemctl", "restart", "nodeprep.service", timeout=90.0)
    ready(machine)
    assert packet_sockets(machine, shown(machine, "nodeprep.service", "MainPID")) > 0
    assert machine.failed_units() == ()

    machine.run("systemctl", "stop", "nodeprep.service", timeout=90.0)
    for unit in (DOOR, BEHIND):
        assert shown(machine, unit, "ActiveState") == "inactive"
    assert machine.run("ls", "/run/nodeprep/packets.socket", check=False).returncode != 0
    assert machine.failed_units() == ()
