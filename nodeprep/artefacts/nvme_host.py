"""NVMe host NQN and ID: as whom this machine asks for namespaces over a fabric (NVMe Base 2.0, 4.7; nvme(1))."""

from __future__ import annotations

from uuid import UUID

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests, removals
from nodeprep.steps import Action, Fresh, Situation, WriteFile

NQN = "/etc/nvme/hostnqn"
ID = "/etc/nvme/hostid"
OWNER = "/usr/sbin/nvme"


def observe(machine: MachineView) -> Reading:
    """Return path and digest of both."""
    return digests(machine, (ID, NQN))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Write both from one random UUID; `nvme gen-hostnqn` would derive it from the product UUID, which may be doubled.

    The kernel refuses one ID with two NQNs, and one NQN with two IDs.
    """
    host = UUID(bytes=fresh.derived("nvme-host")[:16], version=4)
    return (
        WriteFile(ID, f"{host}\n".encode()),
        WriteFile(NQN, f"nqn.2014-08.org.nvmexpress:uuid:{host}\n".encode()),
    )


def used(machine: MachineView) -> str:
    """Say what shows that subsystems know the machine by these."""
    if controllers := machine.glob("/sys/class/nvme-fabrics/ctl/nvme*"):
        return f"{controllers[0]} is connected"
    if machine.exists("/etc/nvme/config.json"):
        return "/etc/nvme/config.json has subsystems to connect to"
    lines = (machine.read_text("/etc/nvme/discovery.conf") or "").splitlines()
    active = any(line.strip() and not line.lstrip().startswith("#") for line in lines)
    return "/etc/nvme/discovery.conf has controllers to connect to" if active else ""


def lacks(machine: MachineView) -> str:
    """Say which of the two is not there: nvme(1) derives its own then, from a product UUID that may be doubled."""
    missing = next((path for path in (ID, NQN) if not machine.read_bytes(path)), "")
    return f"there is no {missing}" if missing and machine.exists(OWNER) else ""


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take both out of the image; the first boot makes them."""
    return removals(machine, (NQN, ID))


ARTEFACT = Artefact(
    name="nvme-host",
    title="NVMe host NQN and ID",
    reason="A subsystem takes two machines for two paths of one host.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    restart=("stafd.service", "stacd.service"),
    used=used,
    remedy=f"nvme disconnect-all; uuidgen >{ID}; echo nqn.2014-08.org.nvmexpress:uuid:$(cat {ID}) >{NQN}; "
    "allow the new NQN on the subsystems; nvme connect-all",
    lacks=lacks,
    seal=seal,
)
