"""Faults of the machine: a clear report, a machine that boots, nothing half-made; and once mended, all as without."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ARTEFACTS, assert_whole, held, problem_codes, ready
from tests.lab.golden import Golden, golden_tree, left_a_lease
from tests.lab.identity import identity
from tests.lab.lan import Lan
from tests.lab.test_attic import ALL, KEYS, lying
from tests.lab.test_clones import with_platform
from tests.lab.test_joined import in_the_attic
from tests.lab.test_power_cut import assert_nothing_left, own_platform
from tests.lab.tree import Release

STAMP = "/var/lib/nodeprep/stamp.json"
SMALL = "/etc/systemd/system/small-disk.service"
WANTED = "/etc/systemd/system/sysinit.target.wants/small-disk.service"
SMALL_DISK = """\
[Unit]
DefaultDependencies=no
After=local-fs.target
Before=nodeprep-early.service

[Service]
Type=oneshot
ExecStart=/bin/sh -ec 'cp -a /var/lib/nodeprep /run/kept; \
    mount -t tmpfs -o size=2m,mode=0700 tmpfs /var/lib/nodeprep; cp -a /run/kept/. /var/lib/nodeprep; rm -r /run/kept'
"""


class Fault(NamedTuple):
    """What is broken, how it shows in the status, and how it is mended."""

    inflict: Callable[[Clone], object]
    code: str
    said: tuple[str, ...]
    """Pieces of what the status says of it, the file and the remedy among them."""
    mend: Callable[[Clone], object] | None = None
    """None where an operator's word mends it."""
    renewed: bool = False
    """Whatever else there is, is renewed all the same."""


def read_only_etc(machine: Clone) -> None:
    machine.write("/etc/fstab", "/etc /etc none bind,ro 0 0\n")


def small_disk(machine: Clone) -> None:
    machine.write(SMALL, SMALL_DISK)
    machine.path(WANTED).parent.mkdir(parents=True, exist_ok=True)
    machine.path(WANTED).symlink_to(SMALL)


def large_disk(machine: Clone) -> None:
    machine.path("/etc/systemd/system/sysinit.target.wants").joinpath("small-disk.service").unlink()


def newer(machine: Clone) -> None:
    machine.write(STAMP, json.dumps({**json.loads(machine.read(STAMP)), "schema": 99}))


def truncate(machine: Clone) -> None:
    text = machine.read(STAMP)
    machine.write(STAMP, text[: len(text) // 2])


FAULTS = {
    "read-only": Fault(
        read_only_etc,
        "machine",
        ("/etc: read-only", "remount,rw"),
        lambda machine: machine.path("/etc/fstab").unlink(),
    ),
    "full": Fault(small_disk, "machine", ("/var/lib/nodeprep", "nothing was touched", "df /var/lib"), large_disk),
    "no-keygen": Fault(
        lambda machine: machine.path("/usr/bin/ssh-keygen").rename(machine.path("/usr/bin") / "ssh-keygen.away"),
        "renewal-failed",
        ("ssh-keygen",),
        lambda machine: machine.path("/usr/bin/ssh-keygen.away").rename(machine.path("/usr/bin") / "ssh-keygen"),
        renewed=True,
    ),
    "garbled": Fault(lambda machine: machine.write(STAMP, "\0\xff{]" * 99), "stamp", (STAMP, "decide renew")),
    "truncated": Fault(truncate, "stamp", (STAMP, "decide renew")),
    "empty": Fault(lambda machine: machine.write(STAMP, ""), "stamp", (STAMP, "decide renew")),
    "newer": Fault(newer, "stamp", (STAMP, "schema is 99", "decide renew")),
}


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template that lived on a platform of its own."""
    return golden_tree(release, deb, store=store, name="platform", prepare=with_platform, lived=left_a_lease)


@pytest.fixture
def lans() -> Iterator[ExitStack]:
    """Return where segments are entered, so that machines which keep one identity do not meet."""
    with ExitStack() as stack:
        yield stack


def test_a_fault_is_reported_and_once_mended_the_clone_ends_as_any_other(
    template: Golden, make_clone: MakeClone, lans: ExitStack
) -> None:
    origin = make_clone("origin", mac=platform.MAC, layers=template.layers)
    origin.boot()
    ready(origin)
    templates = identity(origin)
    origin.shutdown()
    machines = {
        name: make_clone(name, layers=template.layers, lan=lans.enter_context(Lan(f"fault{number}")))
        for number, name in enumerate(FAULTS)
    }
    before, kept = {}, in_the_attic(origin)  # the template has one: its own first boot was a renewal
    for number, (name, machine) in enumerate(machines.items()):
        own_platform(machine, number)
        FAULTS[name].inflict(machine)
        before[name] = lying(machine, ALL)
        machine.boot(wait=False)

    for name, fault in FAULTS.items():
        machine = machines[name]
        document = held(machine)
        assert machine.wait_booted() == "running", (name, machine.failed_units())
        assert problem_codes(document) == [fault.code], (name, document["problems"])
        shown = machine.run("nodeprep", "status", check=False).stdout
        for text in fault.said:
            assert text in shown, (name, text, shown)
        assert not machine.exists("/run/nodeprep/ready"), name
        left = machine.run(
            "sh", "-c", "find /etc /var -name '.nodeprep-*'; ls -d /var/lib/nodeprep/staging", check=False
        )
        assert left.stdout == "", name
        if fault.renewed:
            assert lying(machine, KEYS) == {path: before[name][path] for path in KEYS}, name
        else:
            assert lying(machine, ALL) == before[name], name
            assert in_the_attic(machine) == kept, name

    for name, fault in FAULTS.items():
        machine = machines[name]
        if fault.mend is None:
            machine.run("nodeprep", "decide", "renew")
            ready(machine)
        assert machine.shutdown(), name
        if fault.mend:
            fault.mend(machine)
        machine.boot(wait=False)

    for name, fault in FAULTS.items():
        machine = machines[name]
        document = ready(machine)
        assert machine.wait_booted() == "running", (name, machine.failed_units())
        assert document["node"]["origin"] == ("clone" if fault.mend else "same"), (name, document["node"])
        assert document["warnings"] == [], name
        values = identity(machine)
        assert_whole(values)
        same = [one for one in ARTEFACTS if values[one] and values[one] == templates[one]]
        assert not same, (name, same)
        assert_nothing_left(machine)
