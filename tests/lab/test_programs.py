"""What systemctl tells of units on a booted machine, whatever names they are asked for by."""

from __future__ import annotations

import json

import pytest

from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import MAC

pytestmark = pytest.mark.usefixtures("golden")

ASK = """
import json, sys
from nodeprep.host import programs
print(json.dumps([sorted(units) for units in programs.active_and_starting_units(frozenset(sys.argv[1:]))]))
"""
UNITS = {
    "running.service": "[Service]\nExecStart=sleep infinity\n",
    "waiting.service": "[Service]\nType=notify\nExecStart=sleep infinity\n",
    "stopped.service": "[Service]\nExecStart=sleep infinity\n",
    "orphan.service": "[Service]\nExecStart=sleep infinity\n",
    "queued.service": "[Unit]\nAfter=waiting.service\n[Service]\nExecStart=true\n",
}
STARTED = ("running.service", "orphan.service", "waiting.service", "queued.service")
SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides: scripted provided
# Required-Start:
# Required-Stop:
# Default-Start: 2 3 4 5
# Default-Stop:
### END INIT INFO
"""
OTHER_NAMES = {"alias.service": "running.service", "masked.service": "/dev/null"}


def test_a_unit_is_known_to_run_or_start_by_each_of_its_names(make_clone: MakeClone) -> None:
    machine = make_clone("machine", mac=MAC)
    for name, text in UNITS.items():
        machine.write(f"/etc/systemd/system/{name}", text)
    for name, target in OTHER_NAMES.items():
        (machine.root / "etc/systemd/system" / name).symlink_to(target)
    machine.write("/etc/init.d/scripted", SCRIPT, 0o755)
    machine.boot()
    ready(machine)
    machine.run("systemctl", "start", "scripted.service")
    machine.run("systemctl", "start", "--no-block", *STARTED)
    machine.run("rm", "/etc/systemd/system/orphan.service")
    machine.run("systemctl", "daemon-reload")
    machine.wait_for(lambda: "running" in machine.run("systemctl", "list-units", "orphan.service").stdout, 20)
    asked = (
        *UNITS,
        *OTHER_NAMES,
        "sshd.service",
        "scripted.service",
        "provided.service",
        "not-installed.service",
        "gone.timer",
    )
    active, starting = json.loads(machine.run("python3", "-c", ASK, *asked).stdout)
    scripted = ["provided.service", "scripted.service"]
    assert active == sorted((*scripted, "alias.service", "orphan.service", "running.service", "sshd.service"))
    assert starting == ["queued.service", "waiting.service"]
