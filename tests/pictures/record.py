"""Record what machines say: `sudo python3 -m tests.pictures.record [PACKAGE.deb]`, after `make deb`.

One template is made and not sealed. A copy of its disk is sealed and booted; another is booted on other hardware; a
third, with the state of a cluster on it, too. One machine runs at a time. Texts go to docs/pictures.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.demo import DIST, interruptible
from tests.lab.expectations import status
from tests.lab.golden import CONFIGURATION, Golden, golden_tree, left_a_lease, worst_case
from tests.lab.lan import Lan
from tests.lab.traces import LabError, administer, sweep
from tests.lab.tree import Release
from tests.pictures.drawing import FOLDER, PROMPT, SGR

OTHER = ("4c4c4544-0042-3510-8052-b4c04f564299", "52:54:00:77:04:04")
THIRD = ("4c4c4544-0042-3510-8052-b4c04f564300", "52:54:00:77:05:05")
TERMINAL = (f"NODEPREP_SYSFS={platform.SYSFS}", "TERM=xterm")
IMAGE = "/mnt/image"
CLUSTER = '\n[cluster]\nnodes = ["10.77.0.0/24"]\nclients = ["192.0.2.0/24"]\n'
KUBELET = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
WANTS = "etc/systemd/system/multi-user.target.wants"
MEMBERSHIP = {
    "/etc/kubernetes/kubelet.conf": "kind: Config\n",
    "/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem": "key and certificate\n",
}
SPEAK = """
mount --make-rprivate /
mkdir -p "$1/mnt/image"
mount --rbind "$2" "$1/mnt/image"
exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 sh -c "$3 2>&1 || true"
"""


def furnish(root: Path) -> None:
    """Furnish the template: configuration, platform, and a stand-in for the kubelet."""
    worst_case(root)
    (root / "etc/nodeprep/nodeprep.toml").write_text(CONFIGURATION + CLUSTER)
    platform.point_there(root)
    (root / "etc/systemd/system/kubelet.service").write_text(KUBELET)
    (root / WANTS).mkdir(exist_ok=True)
    (root / WANTS / "kubelet.service").symlink_to("/etc/systemd/system/kubelet.service")


class Notebook:
    """What was said, by the name of its picture."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def note(self, name: str, command: str, said: str) -> None:
        """Add a command and its answer to a text."""
        before = f"{self.texts[name]}\n" if name in self.texts else ""
        self.texts[name] = f"{before}{PROMPT}{command}\n{said.rstrip()}\n"

    def ask(self, name: str, machine: Clone, command: str) -> None:
        """Have a machine answer, at a terminal."""
        done = machine.run("env", *TERMINAL, "script", "-qec", command, "/dev/null", check=False, timeout=120)
        # Progress is taken back (EL, CSI K) before the answer is shown.
        self.note(name, command, re.sub(r"(?m)^[^\n]*\x1b\[K", "", done.stdout.replace("\r", "")))

    def write(self) -> None:
        """Write the texts, and nothing where there is none."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name, text in self.texts.items():
            (FOLDER / f"{name}.txt").write_text(text)


@contextmanager
def copy(golden: Golden, name: str, folder: Path) -> Iterator[Clone]:
    """Make a copy of the template's disk, off, and remove it at the end."""
    with interruptible(), Lan(name) as lan:
        machine = Clone(name, golden.layers, folder / name, lan)
        try:
            yield machine
        finally:
            machine.remove()


def wait(machine: Clone, state: str) -> None:
    """Wait for a state of a machine and for the end of its boot."""
    machine.wait_for(lambda: status(machine)["state"] == state, 90)
    machine.wait_booted()


def in_image(tools: Path, image: Path, command: str) -> str:
    """Return what a command says that is typed where an image is mounted."""
    return administer("unshare", "--mount", "sh", "-ec", SPEAK, "sh", str(tools), str(image), command, timeout_s=120)


def sealed(book: Notebook, golden: Golden, folder: Path) -> None:
    """A copy is sealed where it is mounted, and booted."""
    with copy(golden, "builder", folder) as builder, copy(golden, "image", folder) as image:
        for name, verb in (("check", "--check "), ("seal", ""), ("seal", "--check ")):
            command = f"nodeprep seal {verb}--root {IMAGE}"
            book.note(name, command, in_image(builder.root, image.root, command))
        platform.present(image, *OTHER)
        image.boot()
        wait(image, "ready")
        book.ask("first-boot", image, "nodeprep status --wait")
        book.ask("ports", image, "nodeprep ports")
        book.ask("key", image, "nodeprep key show-id")
        book.ask("key", image, "nodeprep key rotate")
        book.ask("config", image, "nodeprep config check")


def moved(book: Notebook, golden: Golden, folder: Path) -> None:
    """A copy that was not sealed is booted on other hardware."""
    with copy(golden, "copy", folder) as machine:
        platform.present(machine, *OTHER)
        machine.boot()
        wait(machine, "ready")
        book.ask("clone", machine, "nodeprep status")
        book.ask("history", machine, "nodeprep history")
        run = SGR.sub("", book.texts["history"]).splitlines()[1].split()[0]
        book.ask("history", machine, f"nodeprep restore {run} ssh-host-keys")
        platform.present(machine, *THIRD)
        book.ask("plan", machine, "nodeprep plan")


def joined(book: Notebook, golden: Golden, folder: Path) -> None:
    """A copy that had joined a cluster is held, until an operator decides."""
    with copy(golden, "member", folder) as machine:
        for path, text in MEMBERSHIP.items():
            machine.write(path, text)
        platform.present(machine, *OTHER)
        machine.boot()
        wait(machine, "held")
        book.ask("held", machine, "nodeprep status")
        book.ask("held", machine, "systemctl is-active kubelet.service")
        book.ask("explain", machine, "nodeprep explain joined-clone")
        book.ask("decide", machine, "nodeprep decide renew")
        wait(machine, "ready")
        book.ask("decide", machine, "nodeprep status")
        book.ask("decide", machine, "systemctl is-active kubelet.service")


def main() -> int:
    """Record all; return the exit code."""
    packages = [Path(word) for word in sys.argv[1:2]] or sorted(DIST.glob("nodeprep_*_all.deb"))
    if os.geteuid() or not packages:
        print("record: it needs root, and the package that `make deb` builds", file=sys.stderr)
        return 1
    sweep()
    book = Notebook()
    try:
        with tempfile.TemporaryDirectory(prefix="nodeprep-pictures-") as name, interruptible():
            folder = Path(name)
            golden = golden_tree(
                Release.BOOKWORM, packages[-1], store=folder, name="pictures", prepare=furnish, lived=left_a_lease
            )
            for scene in (sealed, moved, joined):
                print(f"... {scene.__name__}", flush=True)
                scene(book, golden, folder)
    except LabError as error:
        print(f"record: {error}", file=sys.stderr)
        return 1
    book.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
