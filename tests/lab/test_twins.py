"""Perfect twins: same disk, same MAC, same address, no platform to tell them apart. Only the wire can."""

from __future__ import annotations

import re

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different, ready
from tests.lab.golden import MAC
from tests.lab.identity import identity
from tests.lab.lan import Lan

pytestmark = pytest.mark.usefixtures("golden")

# A service that keeps what it read when it started, as agents do.
HOLDER = """\
[Unit]
Before=nodeprep.service
[Service]
ExecStart=/bin/sh -c 'exec env "AGENT_ID=$(cat /etc/machine-id)" sleep infinity'
[Install]
WantedBy=multi-user.target
"""

GUID = "/var/lib/netdata/registry/netdata.public.unique.id"
# Does with its GUID what Netdata 2 does: a copy is written at its stop, and comes before the file at the next start.
NETDATA = f"""\
#!/bin/bash
copy=/var/lib/netdata/status-netdata.json
[ ! -e $copy ] || cp $copy {GUID}
[ -e {GUID} ] || cat /proc/sys/kernel/random/uuid > {GUID}
GUID=$(cat {GUID})
trap 'echo $GUID > $copy; exit 0' TERM
while :; do echo $GUID > /run/netdata.says; sleep 0.1; done
"""
# It has read its GUID, and is still starting for as long as that is there, a minute at most.
SLOW = f"""\
[Service]
ExecStart=/usr/local/bin/netdata
ExecStartPost=/bin/bash -c '\\
[ -e /run/netdata.first ] || cp {GUID} /run/netdata.first; \\
for _ in {{1..600}}; do cmp -s {GUID} /run/netdata.first || break; sleep 0.1; done'
[Install]
WantedBy=multi-user.target
"""


def enable(machine: Clone, unit: str, text: str) -> None:
    """Give a machine that is off a service that it starts at each boot."""
    machine.write(f"/etc/systemd/system/{unit}", text)
    wants = machine.path(f"/etc/systemd/system/multi-user.target.wants/{unit}")
    wants.parent.mkdir(exist_ok=True)
    wants.symlink_to(f"/etc/systemd/system/{unit}")


def test_three_perfect_twins_that_boot_at_one_instant_become_unique_and_ready(make_clone: MakeClone) -> None:
    twins = [make_clone(f"twin-{number}", mac=MAC) for number in range(3)]
    for twin in twins:
        twin.boot(wait=False)
    documents = [ready(twin) for twin in twins]
    for twin in twins:
        assert twin.wait_booted() == "running"
        assert twin.failed_units() == ()
        assert twin.boots <= 2
    assert_pairwise_different(twins)
    origins = sorted(document["node"]["origin"] for document in documents)
    assert origins == ["same", "twin", "twin"], "one keeps, and the others yield to it"


def test_twins_on_a_segment_that_loses_a_third_of_all_frames_become_unique_and_ready(
    make_clone: MakeClone, lan: Lan
) -> None:
    lan.loss(30)
    twins = [make_clone(f"twin-{number}", mac=MAC) for number in range(3)]
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        ready(twin)
    assert_pairwise_different(twins)


def test_the_template_runs_and_keeps_everything_while_two_twins_boot_beside_it(make_clone: MakeClone) -> None:
    template, *twins = (make_clone(name, mac=MAC) for name in ("template", "twin-1", "twin-2"))
    template.boot()
    ready(template)
    before = identity(template)
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        ready(twin)
        twin.wait_booted()
        assert twin.failed_units() == ()
    assert identity(template) == before
    assert template.boots == 1
    assert_pairwise_different([template, *twins])


def test_a_service_that_keeps_the_old_machine_id_makes_its_machine_reboot_exactly_once(make_clone: MakeClone) -> None:
    template, twin = make_clone("template", mac=MAC), make_clone("twin", mac=MAC)
    enable(twin, "agent.service", HOLDER)
    template.boot()
    ready(template)
    twin.boot(wait=False)
    twin.wait_for(lambda: twin.boots == 2, 60)
    ready(twin)
    assert twin.wait_booted() == "running"
    assert twin.boots == 2
    # By its memory, and not because the search could not be made.
    said = twin.run("journalctl", "--no-pager", "-u", "nodeprep.service").stdout
    assert re.search(r"(?m)still held: (.*, )?\d+ sleep(,|$)", said), said
    agent = twin.run("sh", "-c", "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID agent.service)/environ").stdout
    values = assert_pairwise_different([template, twin])
    assert f"AGENT_ID={values['twin']['machine-id']}" in agent


def test_what_is_still_starting_does_not_bring_back_what_was_renewed(make_clone: MakeClone) -> None:
    template, twin = make_clone("template", mac=MAC), make_clone("twin", mac=MAC)
    twin.write("/usr/local/bin/netdata", NETDATA, 0o755)
    twin.write(GUID, "7c9a8d62-0000-4000-8000-00000000abcd")
    enable(twin, "netdata.service", SLOW)
    template.boot()
    ready(template)
    twin.boot(wait=False)
    ready(twin)
    assert twin.wait_booted() == "running"
    said = twin.read("/run/netdata.says").strip()
    assert twin.read("/run/netdata.first").strip() != said == twin.read(GUID).strip()
