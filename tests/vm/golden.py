"""The golden disk: a machine that lived on its own hardware before nodeprep came, was shut down, and never sealed.

Its NIC has a permanent MAC of the hardware's and a profile that pins another one, with a static address: what twins
share is all of it. Kept in the lab's cache by content, as a speed-up only.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import sys
from pathlib import Path

from tests.lab.golden import PROFILE as LAB_PROFILE
from tests.lab.golden import worst_case
from tests.lab.lan import LINK, Lan
from tests.lab.traces import LabError
from tests.lab.tree import Release, cache, locked
from tests.vm import disk, failures
from tests.vm.disk import Image
from tests.vm.machine import NIC, Machine

UUID = "4c4c4544-0042-3510-8052-b4c04f564231"
MAC = "52:54:00:77:00:01"
"""The hardware's; what the profile pins is `tests.lab.golden.MAC`."""
GENERATION = "324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87"
PROFILE = LAB_PROFILE.replace(f"interface-name={LINK}", f"interface-name={NIC}")
KEPT_AT_MOST = 2
IDENTITY = "identity.json"

# Says on the console that a file was put in another's place, and stops nodeprep there until a test cuts the power. Only
# where the kernel command line asks for it.
CUT = "cut"
WATCHING = "watching"
REACHED = "reached"
WATCH = f"""\
[Unit]
DefaultDependencies=no
ConditionKernelCommandLine={CUT}
After=systemd-remount-fs.service
Before=nodeprep-early.service
[Service]
ExecStart=/bin/sh /usr/local/sbin/watch
[Install]
WantedBy=sysinit.target
"""
WATCH_SCRIPT = f"""\
path=$(sed -n 's/.*{CUT}=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
inode() {{ stat -c %i "$path" 2>&1; }}
before=$(inode)
echo "{WATCHING} $path" > /dev/kmsg
while [ "$before" = "$(inode)" ]; do sleep 0.1; done
systemctl kill --signal=STOP nodeprep-early.service nodeprep.service 2> /dev/kmsg
echo "{REACHED} $path" > /dev/kmsg
"""


def furnish(root: Path) -> None:
    """Add what the machine has before its first boot: the lab's worst case, but no mark of an offline installation.

    Without that mark it was there before nodeprep, and keeps what it has. It has no RSA key: emulated processors take a
    minute for each, and the lab has them.
    """
    worst_case(root)
    (root / "var/lib/nodeprep/baked-offline").unlink()
    for key in (root / "etc/ssh").glob("ssh_host_rsa_key*"):
        key.unlink()
    units = root / "etc/systemd/system"
    # It says each thing that it is asked, at the end of every console that is looked at.
    agent = units / "qemu-guest-agent.service.d"
    agent.mkdir()
    (agent / "quiet.conf").write_text("[Service]\nLogLevelMax=notice\n")
    (units / "e2scrub_reap.service").symlink_to("/dev/null")
    (units / "watch.service").write_text(WATCH)
    (root / "usr/local/sbin/watch").write_text(WATCH_SCRIPT)
    (units / "sysinit.target.wants").mkdir(exist_ok=True)
    (units / "sysinit.target.wants/watch.service").symlink_to("/etc/systemd/system/watch.service")


def golden(release: Release, deb: Path) -> Image:
    """Return the disk of a machine that was booted once until it was ready and shut down in order (two minutes)."""
    recipe = (inspect.getsource(sys.modules[__name__]), inspect.getsource(disk), inspect.getsource(worst_case), PROFILE)
    parts = (deb.read_bytes(), disk.tree_key(release).encode(), *(text.encode() for text in recipe))
    prefix = f"vm-golden-{release.value}-"
    folder = cache() / f"{prefix}{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}"
    with locked(cache() / f"vm-golden-{release.value}.lock"):
        if not folder.is_dir():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            older = sorted(folder.parent.glob(f"{prefix}*"), key=lambda path: path.stat().st_mtime_ns)
            for forgotten in older[: max(0, len(older) - KEPT_AT_MOST + 1)]:
                shutil.rmtree(forgotten)
            part.mkdir(parents=True)
            try:
                live(release, deb, part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return Image(folder / "disk.qcow2", folder / "vmlinuz", folder / "initrd")


def template_identity(golden: Image) -> dict[str, str]:
    """Return every value by which the golden machine could be known, as its own programs told it."""
    values: dict[str, str] = json.loads((golden.file.parent / IDENTITY).read_text())
    return values


def live(release: Release, deb: Path, folder: Path) -> None:
    """Make the disk there, boot the machine from it, and shut it down. LabError if it is not as it should be."""
    image = disk.image(release, deb, folder, PROFILE, furnish)
    with Lan("vm-golden") as lan:
        machine = Machine("golden", image, folder, lan, mac=MAC, uuid=UUID, generation=GENERATION)
        machine.on()
        try:
            document = machine.ready()
            if document["node"]["origin"] != "adopted" or machine.failed_units():
                raise LabError(f"the golden machine: {document['summary']}, failed: {machine.failed_units()}")
            (folder / IDENTITY).write_text(json.dumps(machine.identity()))
            if not machine.shutdown():
                raise LabError(f"the golden machine did not shut down by itself\n{machine.said()[-2000:]}")
        except LabError as error:
            kept = failures.folder_of(f"golden {release.value}")
            failures.keep(machine, kept)
            raise LabError(f"{error}\nkept: {kept}") from error
        finally:
            machine.power_cut()
