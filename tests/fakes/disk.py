"""The disk of a template in a folder, the platform it runs on, and stand-ins for the programs of a boot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MACHINE_ID = "0123456789abcdef0123456789abcdef"
KEY_TYPES = ("rsa", "ecdsa", "ed25519")

FILES: dict[str, tuple[bytes, int]] = {
    "/etc/machine-id": (f"{MACHINE_ID}\n".encode(), 0o444),
    "/var/lib/dbus/machine-id": (f"{MACHINE_ID}\n".encode(), 0o644),
    f"/var/log/journal/{MACHINE_ID}/system.journal": (b"what the template logged", 0o640),
    f"/var/log/journal/{MACHINE_ID}/user-1000.journal": (b"what its user logged", 0o640),
    "/var/lib/systemd/random-seed": (b"template's entropy" * 28, 0o600),
    "/usr/sbin/sshd": (b"", 0o755),
    "/etc/ssh/sshd_config": (b"# the operator's\n", 0o644),
    "/etc/ssh/ssh_host_ed25519_key-cert.pub": (b"ssh-ed25519-cert-v01@openssh.com template's\n", 0o644),
    "/var/lib/NetworkManager/secret_key": (b"nm-v2:template", 0o600),
    "/var/lib/NetworkManager/timestamps": (b"[timestamps]\n", 0o644),
    "/var/lib/NetworkManager/NetworkManager.state": (b"[main]\n", 0o644),
    "/var/lib/NetworkManager/internal-1111-eth0.lease": (b"ADDRESS=10.77.0.11\n", 0o600),
    "/var/lib/dhcp/dhclient.eth0.leases": (b"lease { fixed-address 10.77.0.11; }\n", 0o644),
    "/etc/hostname": (b"template\n", 0o644),
    "/etc/hosts": (b"127.0.0.1\tlocalhost\n127.0.1.1\ttemplate\n10.77.0.9\tstorage # the operator's\n", 0o644),
    **{
        path: content
        for kind in (*KEY_TYPES, "dsa")
        for path, content in {
            f"/etc/ssh/ssh_host_{kind}_key": (f"private of template's {kind}\n".encode(), 0o600),
            f"/etc/ssh/ssh_host_{kind}_key.pub": (f"ssh-{kind} template's-{kind} root@template\n".encode(), 0o644),
        }.items()
    },
}


def put(root: Path, path: str, content: bytes, mode: int = 0o644) -> None:
    """Write a file below the root, with its folders."""
    real = Path(f"{root}{path}")
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(content)
    real.chmod(mode)


def make_template(root: Path) -> None:
    """Put a template's files below the root."""
    for path, (content, mode) in FILES.items():
        put(root, path, content, mode)


def make_platform(sysfs: Path, uuid: str, mac: str) -> None:
    """Put below sysfs what a hypervisor shows."""
    put(sysfs, "/class/dmi/id/product_uuid", f"{uuid}\n".encode())
    put(sysfs, "/class/net/eth0/address", f"{mac}\n".encode())
    put(sysfs, "/class/net/eth0/addr_assign_type", b"0\n")


def contents(root: Path) -> set[bytes]:
    """Return what lies in any file below the root."""
    found = set()
    for path in files(root):
        with open(path, "rb") as file:
            found.add(file.read())
    return found


def files(root: Path) -> Iterator[str]:
    """Yield the regular files below the root."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = f"{folder}/{name}"
            if not os.path.islink(path):
                yield path


class Programs:
    """What programs.run would run: ssh-keygen -A makes marked pairs, systemctl is written down, nothing else is there.

    Each file that ssh-keygen makes is written through os.open, so that a power cut may come between any two of them.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self._made = 0

    def run(self, argv: tuple[str, ...], timeout_s: float) -> str:
        self.ran.append(argv)
        if argv[0] == "ssh-keygen":
            assert argv[:4] == ("ssh-keygen", "-q", "-A", "-f"), argv
            self._made += 1
            for kind in KEY_TYPES:
                mark = f"{kind}-{self._made}-{os.urandom(4).hex()}"
                write(f"{argv[4]}/etc/ssh/ssh_host_{kind}_key", f"private of {mark}\n".encode(), 0o600)
                write(f"{argv[4]}/etc/ssh/ssh_host_{kind}_key.pub", f"ssh-{kind} {mark} root@clone\n".encode(), 0o644)
        else:
            assert argv[0] == "systemctl", f"a program that no test expects: {argv}"
        return ""


def write(path: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet, without syncing it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def pairs(root: Path) -> dict[str, tuple[str, str | None]]:
    """Return host key type → what its private half and its public half are marked with."""
    found: dict[str, tuple[str, str | None]] = {}
    for private in sorted((root / "etc/ssh").glob("ssh_host_*_key")):
        public = private.with_name(f"{private.name}.pub")
        kind = private.name.split("_")[2]
        mark = private.read_text().strip().removeprefix("private of ")
        found[kind] = (mark, public.read_text().split()[1] if public.exists() else None)
    return found
