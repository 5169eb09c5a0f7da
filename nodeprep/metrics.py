"""Metrics: the status document for node_exporter's textfile collector (Prometheus, "Exposition formats"). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nodeprep.model import Verdict

FILE = "/run/nodeprep/nodeprep.prom"
STATES = ("starting", "held", "ready", "degraded")
Sample = tuple[Mapping[str, str], int]


def metrics(document: Mapping[str, Any]) -> str:
    """Return the text. Every gauge is there whatever its value, so that an alert can tell 0 from silence."""
    verdicts = [row["verdict"] for row in document["identity"]]
    peers, openings = document["peers"], document["openings"]
    families: tuple[tuple[str, str, Iterable[Sample]], ...] = (
        ("build_info", "The release that runs.", [({"version": document["version"]}, 1)]),
        (
            "state",
            "1 for the state that the node is in, as `nodeprep status` says it.",
            [({"state": state}, int(document["state"] == state)) for state in STATES],
        ),
        (
            "artefacts",
            "Identity artefacts of each verdict.",
            [({"verdict": verdict.value}, verdicts.count(verdict.value)) for verdict in Verdict],
        ),
        ("renewed_artefacts", "Identity artefacts renewed in this boot.", [({}, len(document["changes"]))]),
        ("peers", "Machines of the fleet that are heard.", [({}, peers["count"])]),
        ("contesting_peers", "Peers that present what is this node's.", [({}, len(peers["contested"]))]),
        ("rejected_frames", "Frames refused since the daemon started.", [({}, peers["rejected"])]),
        ("openings", "Ranges of ports that the roles need.", [({}, len(openings["list"]))]),
        ("problems", "What keeps the node from being ready, by code.", _by_code(document["problems"])),
        ("warnings", "What an operator should know, by code.", _by_code(document["warnings"])),
    )
    lines = []
    for name, meaning, samples in families:
        lines += [f"# HELP nodeprep_{name} {meaning}", f"# TYPE nodeprep_{name} gauge"]
        lines += [f"nodeprep_{name}{_labels(labels)} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _by_code(rows: Iterable[Mapping[str, str]]) -> list[Sample]:
    codes = [row["code"] for row in rows]
    return [({"code": code}, codes.count(code)) for code in sorted(set(codes))]


def _labels(labels: Mapping[str, str]) -> str:
    """Return labels as the format writes them; values are codes and releases, and need no escape."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""
