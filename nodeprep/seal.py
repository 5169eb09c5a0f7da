"""Sealing: what takes a machine's identity out of an image that is going to be cloned. Pure.

The mark that makes the next boot a first boot is written before anything is removed, and completed after everything
is: cut off anywhere, what boots next gives itself an identity, whatever of the template's is still there or gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodeprep import fleetkey
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind
from nodeprep.plan import RUNNING_SYSTEM
from nodeprep.reading import literal
from nodeprep.run import BAKED_OFFLINE, SEALED_NOW
from nodeprep.steps import Plan, Remove, RunProgram, Step, WriteFile

MARK, STATE, FLEET_KEY = "mark", "state", "fleet-key"
"""Pseudo subjects, beside those of the artefacts."""

OWN_STATE = ("/var/lib/nodeprep/*", "/var/lib/nodeprep/.[!.]*")
NETWORK = frozenset({"NetworkManager.service", "systemd-networkd.service", "networking.service", "dhcpcd.service"})
"""Never stopped: an operator may sit at the other end."""
DAEMON = "nodeprep.service"
WRITERS = frozenset({"systemd-random-seed.service"})
"""What writes, when the machine goes down, what was removed: it is stopped before."""
MEMBERS = frozenset(
    {
        "kubelet.service",
        "etcd.service",
        "k3s.service",
        "k3s-agent.service",
        "rke2-server.service",
        "rke2-agent.service",
        "snap.microk8s.daemon-cluster-agent.service",
        "snap.microk8s.daemon-k8s-dqlite.service",
        "snap.microk8s.daemon-kubelite.service",
    }
)
"""What keeps a cluster's state, and is never stopped behind an operator's back."""


def writers(artefacts: Iterable[Artefact]) -> frozenset[str]:
    """Return the units that would write back, from memory, what is removed, without those that carry the network.

    Who runs under an identity of somebody else's (class C) is let run: it may be what carries the operator.
    """
    idle = {unit for a in artefacts if a.seal and a.kind in (Kind.A, Kind.B) for unit in a.idle}
    return frozenset((idle | WRITERS) - NETWORK)


def plan(
    artefacts: Iterable[Artefact],
    machine: MachineView,
    *,
    fleet_key: str | None = None,
    active_units: frozenset[str] | None = None,
) -> Plan:
    """Return the steps up to the last one, which is `commit`.

    fleet_key: the new one as hex digits, None to keep what is there. active_units: of the writers, those that run;
    None where the image does not run. Raises HostError.
    """
    steps = [] if active_units is None else [stop(active_units)]
    steps.append(
        Step((MARK,), (WriteFile(BAKED_OFFLINE, b"sealing\n", 0o600),), "what boots next is a first boot",
             after=(RUNNING_SYSTEM,))
    )  # fmt: skip
    own = sorted({path for pattern in OWN_STATE for path in machine.glob(pattern)} - {BAKED_OFFLINE})
    if own:
        reason = "stamp, holds and attic are the template's"
        steps.append(Step((STATE,), tuple(Remove(literal(path)) for path in own), reason, after=(MARK,)))
    steps += [
        Step((artefact.name,), actions, artefact.title, after=(MARK, STATE))
        for artefact in artefacts
        if artefact.seal and (actions := artefact.seal(machine))
    ]
    if fleet_key:
        write = WriteFile(fleetkey.PATH, f"{fleet_key}\n".encode(), 0o600)
        steps.append(Step((FLEET_KEY,), (write,), "clones of one image hear one another", after=(MARK,)))
    return Plan(tuple(steps))


def stop(active_units: frozenset[str]) -> Step:
    """Return the step after which nothing of the running system writes an identity any more; some write one at it."""
    # The daemon first: it would adopt what is removed, and end the first boot that is only being prepared.
    stopped = (DAEMON, *sorted(active_units - {DAEMON}))
    return Step(
        (RUNNING_SYSTEM,),
        (
            WriteFile(SEALED_NOW, b"", 0o644),
            RunProgram(("systemctl", "stop", *stopped)),
            # journald writes on to /run; otherwise it keeps its files open, and makes them anew when it rotates them.
            RunProgram(("journalctl", "--relinquish-var")),
        ),
        "it would write back what is removed",
    )


def commit(date: str) -> Plan:
    """Return the last step: nothing is left to do."""
    return Plan((Step((MARK,), (WriteFile(BAKED_OFFLINE, f"sealed {date}\n".encode(), 0o600),), "all is done"),))


def mark(date: str) -> Plan:
    """Return the step that only makes the next boot a first boot, and removes nothing."""
    return Plan((Step((MARK,), (WriteFile(BAKED_OFFLINE, f"marked {date}\n".encode(), 0o600),), "by request"),))
