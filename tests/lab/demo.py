"""The demonstration: three perfect twins of a template, without nodeprep and with it, for a person who reads on.

    sudo python3 -m tests.lab.demo [PACKAGE.deb]

Exit code 0 only if every twin became ready and no two share anything. Whatever it made is removed again, however it
ends.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from nodeprep.stamp import fingerprint
from tests.lab.clone import Clone
from tests.lab.golden import MAC, Golden, golden_tree, left_a_lease, worst_case
from tests.lab.identity import hostnames, identity, machine_ids
from tests.lab.lan import LINK, Lan
from tests.lab.traces import LabError, sweep
from tests.lab.tree import Release, base_tree

DIST = Path(__file__).parents[2] / "dist"
TOOLS = ("systemd-nspawn", "mmdebstrap", "ip", "nft", "nsenter", "unshare", "dpkg-deb")
READY_FILE = "/run/nodeprep/ready"
TWINS = 3
BOOT_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 90.0
WIDTH = 96
COLUMN = 18


class Row(NamedTuple):
    """A line of the tables: what it is, what of an identity it shows, and whose fingerprint stands for that."""

    title: str
    key: str
    artefact: str = ""


ROWS = (
    Row("machine ID", "machine-id", "machine-id"),
    Row("  as its services give it", "machine-id of services", "machine-id"),
    Row("hostname", "hostname"),
    Row("  as its services give it", "hostname of services"),
    Row("MAC address", "mac"),
    Row("IPv4 address", "ipv4"),
    Row("IPv6 address", "ipv6"),
    Row("SSH host key (rsa)", "ssh key rsa"),
    Row("SSH host key (ecdsa)", "ssh key ecdsa"),
    Row("SSH host key (ed25519)", "ssh key ed25519"),
    Row("  as sshd serves it", "ssh key of sshd"),
    Row("random seed", "random-seed", "random-seed"),
    Row("NetworkManager's secret", "networkmanager secret", "networkmanager-key"),
    Row("DHCP leases", "dhcp leases", "dhcp-identity"),
    Row("journal's folder", "journal directories", "journal-folder"),
)

Identity = Mapping[str, str]


def main() -> int:
    """Show it; return the exit code."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if os.geteuid() or missing:
        print(f"demo: it needs {', '.join(missing) or 'root'}", file=sys.stderr)
        return 1
    packages = [Path(word) for word in sys.argv[1:2]] or sorted(
        DIST.glob("nodeprep_*_all.deb"), key=lambda path: path.stat().st_mtime_ns
    )
    if not packages:
        print("demo: there is no package in dist/; run `make deb` first", file=sys.stderr)
        return 1
    try:
        sweep()
        return show(packages[-1])
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything is removed")
        return 130
    except LabError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1


def show(package: Path) -> int:
    """Make a template and its twins, tell what happens, and remove them; return the exit code."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="nodeprep-demo-") as folder, interruptible():
        say(f"""
            nodeprep gives every copy of a virtual machine an identity of its own. Here is a template: Debian 12 with
            {package.name} installed, booted once, shut down, and not prepared for copying in any way. {TWINS} copies
            of its disk are booted at one instant, on one network, with the same MAC address.
            """)
        progress("looking for Debian 12 (the first time it is downloaded, which takes a minute)")
        base_tree(Release.BOOKWORM)
        progress("making the template")
        golden = golden_tree(
            Release.BOOKWORM, package, store=Path(folder), name="demo", prepare=worst_case, lived=left_a_lease
        )
        names = [f"twin-{number}" for number in range(1, TWINS + 1)]

        heading("BEFORE: the copies with nodeprep switched off (nodeprep=off on the kernel command line)")
        with machines(golden, names, Path(folder)) as twins:
            progress(f"booting {TWINS} copies")
            boot(twins, "nodeprep=off")
            common_before = table([twin.name for twin in twins], [identities(twin) for twin in twins])
        say(f"""
            {common_before} of {len(ROWS)} are the same on two or more. In a cluster these machines would replace one
            another (hostname, machine ID), take each other's traffic (MAC, IP) and could impersonate one another
            (SSH keys).
            """)

        heading("AFTER: the same copies with nodeprep")
        with machines(golden, names, Path(folder)) as twins:
            progress(f"booting {TWINS} copies")
            took_s = boot_until_ready(twins)
            common = table([twin.name for twin in twins], [identities(twin) for twin in twins])
            line("time to ready", [f"{seconds:.1f} s" if seconds else "NEVER" for seconds in took_s])
            line("reboots on the way", [str(twin.boots - 1) for twin in twins])
            said = [twin.run("nodeprep", "status", check=False) for twin in twins]
            failed = [f"{unit} of {twin.name}" for twin in twins for unit in twin.failed_units()]
        say("""
            The copies found one another on the wire, with one MAC and one IP address between them. Nothing but a
            number drawn at this boot tells them apart, and by it one keeps what the template had (the template is
            switched off); the others renewed everything, before a kubelet could have started.
            """)
        chosen = max(range(TWINS), key=took_s.__getitem__)
        heading(f"What {names[chosen]} says of itself: nodeprep status")
        print(said[chosen].stdout)
        print("=" * WIDTH)

    is_ready = all(took_s) and not any(done.returncode for done in said)
    if failed:
        print(f"Failed units: {', '.join(failed)}")
    print(f"{common} of {len(ROWS)} are shared; {'every' if is_ready else 'NOT every'} copy is ready.")
    print(f"The demonstration took {time.monotonic() - began_s:.0f} s.")
    return 0 if common_before and not common and is_ready and not failed else 1


@contextlib.contextmanager
def machines(golden: Golden, names: Sequence[str], folder: Path) -> Iterator[tuple[Clone, ...]]:
    """Make copies on one LAN, and remove them at the end."""
    with interruptible(), contextlib.ExitStack() as stack:
        lan = stack.enter_context(Lan("demo"))
        twins = []
        for name in names:
            twin = Clone(name, golden.layers, folder / name, lan, MAC)
            stack.callback(twin.remove)
            twins.append(twin)
        stack.enter_context(interruptible())
        yield tuple(twins)


def boot(twins: Sequence[Clone], *kernel_arguments: str) -> None:
    """Boot machines that nodeprep leaves alone, and wait for their addresses."""
    for twin in twins:
        twin.boot(wait=False, kernel_arguments=kernel_arguments)
    for twin in twins:
        twin.wait_booted(BOOT_TIMEOUT_S)
        twin.wait_for(partial(addresses, twin))


def addresses(twin: Clone) -> str:
    """Return the IPv4 addresses of a machine, as ip(8) tells them."""
    return twin.run("ip", "-4", "-o", "address", "show", "dev", LINK).stdout


def boot_until_ready(twins: Sequence[Clone]) -> list[float]:
    """Boot machines at one instant; return how many seconds each took until it said READY, 0 where it did not."""
    began_s = time.monotonic()
    for twin in twins:
        twin.boot(wait=False)
    took_s = dict.fromkeys(twins, 0.0)
    while not all(took_s.values()) and time.monotonic() < began_s + READY_TIMEOUT_S:
        for twin in twins:
            with contextlib.suppress(OSError):  # it reboots just now
                if not took_s[twin] and twin.exists(READY_FILE):
                    took_s[twin] = time.monotonic() - began_s
        time.sleep(0.05)
    for twin in twins:
        twin.wait_booted(BOOT_TIMEOUT_S)
    return list(took_s.values())


def identities(twin: Clone) -> Identity:
    """Return by what a machine can be known, with what its services say in one value each."""
    values = identity(twin)
    return values | {
        "machine-id of services": " ".join(sorted(set(machine_ids(values).values()))),
        "hostname of services": " ".join(sorted(set(hostnames(values).values()))),
        "ssh key of sshd": ssh_fingerprint(values["ssh keys of sshd"]),
    }


def ssh_fingerprint(key: str) -> str:
    """Return the fingerprint of a public key as ssh-keygen(1) gives it."""
    digest = hashlib.sha256(base64.b64decode(key)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}" if key else ""


def table(names: Sequence[str], found: Sequence[Identity]) -> int:
    """Print a line for each artefact; return how many of them any two machines share."""
    line("", names, "")
    common = 0
    for row in ROWS:
        values = [one.get(row.key, "") for one in found]
        present = [value for value in values if value]
        is_shared = len(set(present)) < len(present)
        common += is_shared
        mark = "SAME" if is_shared else "unique" if present else "none"
        line(row.title, [shortened(row, value) for value in values], mark)
    print("-" * WIDTH)
    return common


def shortened(row: Row, value: str) -> str:
    """Return a value as it fits into a column: a fingerprint, or of a long address the part that differs."""
    if not value:
        return "-"
    if row.artefact:
        return fingerprint(row.artefact, value)[:8]
    if value.startswith("SHA256:"):
        return value[:15]
    return value if len(value) < COLUMN else f"..{value[-(COLUMN - 3) :]}"


def line(title: str, values: Sequence[str], mark: str = "") -> None:
    """Print a line of a table."""
    print(f"{title:<27}{''.join(f'{value:<{COLUMN}}' for value in values)}{mark}".rstrip())


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n{text}\n{'=' * WIDTH}", flush=True)


def say(text: str) -> None:
    """Print a paragraph."""
    print("\n" + textwrap.fill(" ".join(text.split()), WIDTH), flush=True)


def progress(what: str) -> None:
    """Say what takes a while."""
    print(f"... {what}", flush=True)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what is in it, but not the removal of what it made, which comes after it."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
