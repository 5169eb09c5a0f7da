"""The early run: before the journal, the network and D-Bus, with the standard library only.

On an unchanged boot it compares one digest and leaves; nothing but `os` and `hashlib` is imported for that. Otherwise
it renews what lives in files, before anything can cache or use the template's.
"""

from __future__ import annotations

import sys

from nodeprep.host import platform

STATE = "/var/lib/nodeprep"
REPORT = "/run/nodeprep/early.json"


def unchanged() -> bool:
    """Whether this boot is plainly the stamp's machine, with nothing left to do.

    The digest is looked for as text: parsing would cost more than all the rest. A torn stamp that still has it decides
    nothing wrong, since nothing is done here, and the main run reads the stamp properly.
    """
    import os  # noqa: PLC0415 (in sys.modules already; named here to keep the top free of what the slow path needs)

    try:
        with open(f"{STATE}/stamp.json", "rb") as file:
            stamp = file.read()
    except OSError:
        return False
    if os.path.exists(f"{STATE}/renewal.json") or os.path.exists(f"{STATE}/baked-offline"):
        return False
    return f'"hardware_digest": "{platform.digest(platform.signals())}"'.encode() in stamp


def main() -> int:
    """Run at boot; the exit code is 0 unless nodeprep itself is broken: a node that is not ready still boots."""
    if unchanged():
        return 0
    from nodeprep.errors import NodeprepError  # noqa: PLC0415 (the slow path)

    try:
        return renew()
    except NodeprepError as error:
        say(3, f"nothing more is done early: {error}")
        return 0


def renew() -> int:
    """Renew what lives in files, if this is a first boot or a copy. Raises NodeprepError."""
    import json  # noqa: PLC0415 (the slow path)
    import time  # noqa: PLC0415

    from nodeprep import config, run  # noqa: PLC0415
    from nodeprep.host import programs  # noqa: PLC0415
    from nodeprep.host.local import LocalMachine  # noqa: PLC0415
    from nodeprep.model import Stage  # noqa: PLC0415
    from nodeprep.steps import Situation  # noqa: PLC0415

    machine = LocalMachine(time.strftime("%Y%m%dT%H%M%SZ-early", time.gmtime()))
    settings = config.load(machine)
    run.openings_of(machine, settings)  # a role that is not there stops everything before anything is changed
    this = run.Run(machine, settings, platform.signals())
    this.artefacts = tuple(artefact for artefact in this.artefacts if artefact.stage is Stage.EARLY)
    this.decide()
    say(6, f"{this.decision.origin.value}: {this.decision.reason}")
    if not this.decision.renews:
        return 0
    this.begin()
    this.look()
    units = frozenset({"systemd-journald.service"})
    fresh = run.draw(machine)
    situation = Situation(
        machine_id=this.machine_id(),
        active_units=programs.active_units(units),
        mount_points=frozenset(
            line.split()[4] for line in (machine.read_text("/proc/self/mountinfo") or "").splitlines()
        ),
        early=True,
    )
    this.carry_out(this.propose(fresh, situation, Stage.EARLY))
    machine.remove_staging()
    this.look()
    for change in this.changes.values():
        say(5, f"renewed {change.artefact}: {change.old} -> {change.new}")
    for outcome in this.outcomes.values():
        if outcome.result.value != "done":
            say(3, f"{outcome.subject}: {outcome.result.value}: {outcome.detail}")
    report = {
        "changes": [[change.artefact, change.old, change.new] for change in this.changes.values()],
        "outcomes": [[outcome.subject, outcome.result.value, outcome.detail] for outcome in this.outcomes.values()],
    }
    machine.write_own(REPORT, json.dumps(report).encode(), 0o644)
    return 0


def say(priority: int, text: str) -> None:
    """Say a line to the journal, with its priority as sd-daemon(3) wants it."""
    print(f"<{priority}>nodeprep: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
