"""Docker Swarm state: a node's certificate and, on a manager, the Raft log (docs.docker.com, "Administer a swarm")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action

STATE = ("/var/lib/docker/swarm/*",)
"""The folder itself is there and empty on an engine that never joined. The certificates in it rotate by themselves, so
that being there is what counts."""


def observe(machine: MachineView) -> Reading:
    """Return the state that lies there."""
    return places(machine, STATE)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the membership out of the image; the engine, its images and volumes stay."""
    return removals(machine, STATE)


ARTEFACT = Artefact(
    name="docker-swarm",
    title="Docker Swarm state",
    reason="The managers take both for one node, whose tasks move from one to the other; two managers split the log.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    # The socket would start the engine at the first `docker ps`.
    holds=("docker.service", "docker.socket"),
    remedy="rm -r /var/lib/docker/swarm/*; systemctl restart nodeprep.service; docker swarm join --token TOKEN MANAGER",
    seal=seal,
)
