"""The early run: before the journal, the network and D-Bus, with the standard library only.

It is not started on a boot of which nodeprep/unchanged.py could tell that nothing has changed. Where a link's driver
was not there yet it asks that once more, and leaves. Otherwise it renews what lives in files, before anything can cache
or use the template's.
"""

from __future__ import annotations

import sys

from nodeprep.host import platform
from nodeprep.unchanged import unchanged

TYPE_CHECKING = False  # what it is in typing, which is not loaded here
if TYPE_CHECKING:
    from collections.abc import Iterable

    from nodeprep.steps import Outcome

REPORT = "/run/nodeprep/early.json"
WRITTEN_BETWEEN = ("hostname", "hosts-entry")
"""What cloud-init may write before the main run, which renews it: what is there now is the template's, and no more."""


def main() -> int:
    """Run at boot; the exit code is 0 unless nodeprep itself is broken: a node that is not ready still boots.

    The interpreter ends at once with it: what is written must be closed, and what is said flushed, by then.
    """
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

    from nodeprep import config, run  # noqa: PLC0415
    from nodeprep.host import attic, programs  # noqa: PLC0415
    from nodeprep.host.local import LocalMachine  # noqa: PLC0415
    from nodeprep.model import Link, Origin, Stage  # noqa: PLC0415
    from nodeprep.openings import openings_of  # noqa: PLC0415
    from nodeprep.plan import RUNNING_SYSTEM  # noqa: PLC0415
    from nodeprep.situation import check_hostname, foreseen_hostname  # noqa: PLC0415
    from nodeprep.steps import Plan, Situation  # noqa: PLC0415

    signals = platform.signals()
    if "permanent-mac" not in signals and not platform.is_hidden():
        programs.attempt(("udevadm", "settle", "--timeout=5"), 10)  # drivers of the links may still be loading
        signals = platform.signals()
    links = tuple(Link(name, 0, mac, mac, carrier=False) for name, mac in platform.permanent_macs().items())
    machine = LocalMachine(attic.name_now(), links=links)
    settings = config.load(machine)
    openings_of(machine, settings)  # a role that is not there stops everything before anything is changed
    this = run.Run(machine, settings, signals)
    this.artefacts = tuple(a for a in this.artefacts if a.stage is Stage.EARLY or a.lacks or a.name in WRITTEN_BETWEEN)
    machine.remove_own(run.SEALED_NOW)  # it survives where only the services are started anew (systemctl soft-reboot)
    this.decide()
    say(6, f"{this.decision.origin.value}: {this.decision.reason}")
    if not this.decision.origin.renews and this.decision.origin is not Origin.NEW_NIC:
        return 0
    check_hostname(this)  # one that cannot be told stops everything too, though it is set later
    if this.decision.renews:
        this.begin()
    this.look()
    units = frozenset({"systemd-journald.service", "systemd-udevd.service"})
    fresh = run.draw(machine)
    situation = Situation(
        machine_id=this.machine_id(),
        hostname=foreseen_hostname(this, fresh),
        links=links,
        active_units=programs.active_units(units),
        mount_points=frozenset(
            line.split()[4] for line in (machine.read_text("/proc/self/mountinfo") or "").splitlines()
        ),
        held_units=frozenset(machine.held_units()),
        early=True,
    )
    steps = this.propose(fresh, situation, Stage.EARLY).steps
    restarts = tuple(step for step in steps if step.subjects == (RUNNING_SYSTEM,))
    if steps:
        this.carry_out(Plan(tuple(step for step in steps if step not in restarts)))
        machine.write_own(attic.NAME_FILE, machine.run.encode(), 0o644)
    machine.remove_staging()
    this.look()
    for change in this.changes.values():
        say(5, f"renewed {change.artefact}: {change.old} -> {change.new}")
    say_failures(this.outcomes.values())
    if restarts:
        # Last, since journald is among them: what is said while it is down is lost with the process that has said it.
        this.carry_out(Plan(restarts))
        say_failures((this.outcomes[RUNNING_SYSTEM],))
    report = {
        "changes": [[change.artefact, change.old, change.new] for change in this.changes.values()],
        "outcomes": [[outcome.subject, outcome.result.value, outcome.detail] for outcome in this.outcomes.values()],
    }
    machine.write_own(REPORT, json.dumps(report).encode(), 0o644)
    return 0


def say_failures(outcomes: Iterable[Outcome]) -> None:
    """Say which steps failed."""
    for outcome in outcomes:
        if outcome.result.value != "done":
            say(3, f"{outcome.subject}: {outcome.result.value}: {outcome.detail}")


def say(priority: int, text: str) -> None:
    """Say a line to the journal, with its priority as sd-daemon(3) wants it."""
    print(f"<{priority}>nodeprep: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
