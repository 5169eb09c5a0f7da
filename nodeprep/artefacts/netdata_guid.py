"""Netdata's machine GUID, the copies that it is restored from, its claim to a node in Netdata Cloud, and its API key.

A GUID whose own file alone is removed comes back from any status file, and by the databases of nodes and contexts a
clone goes on to show the template as a node that has gone (learn.netdata.cloud, "VM Templates and Clones").
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action, Fresh, SetAside, Situation

STATUS = ("/var/cache/netdata/status-netdata.json", "/var/lib/netdata/status-netdata.json")
DATABASES = ("/var/cache/netdata/netdata-meta.db*", "/var/cache/netdata/context-meta.db*")
METRICS = ("/var/cache/netdata/dbengine*",)
FILES = (
    *STATUS,
    "/var/lib/netdata/cloud.d/cloud.conf",
    "/var/lib/netdata/cloud.d/claimed_id",
    "/var/lib/netdata/cloud.d/private.pem",
    "/var/lib/netdata/cloud.d/public.pem",
    "/var/lib/netdata/netdata.api.key",
    "/var/lib/netdata/registry/netdata.public.unique.id",
)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of every place of the identity; a status file changes all the time.

    The databases are too large to be read at each look, and go with whatever of this is replaced.
    """
    return digests(machine, FILES)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set aside what was found, the databases, and a status file that was not: it is written when Netdata is stopped.

    The metrics stay: they may be gigabytes, nothing in them names a node, and Netdata lets them go in time.
    """
    unfound = (*DATABASES, *STATUS)
    return tuple(dict.fromkeys((*map(SetAside, unfound), *set_aside(finding, fresh, situation))))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the identity out of the image, and the metrics of the template; claim.conf stays, and claims the new one."""
    return removals(machine, (*FILES, *DATABASES, *METRICS))


ARTEFACT = Artefact(
    name="netdata-guid",
    title="Netdata's machine GUID",
    reason="A parent takes metrics from one of the machines only, and the cloud drops them in turns.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    volatile=True,
    confidential=True,
    idle=("netdata.service",),
    seal=seal,
)
