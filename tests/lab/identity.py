"""The identity of a running clone as its own programs tell it: who says what, and what the disk says.

Each value is asked where it is used, not only where it is stored: PID 1, hostnamed and NetworkManager keep the machine
ID they read when they started, sshd serves the keys it loaded. Two clones are distinct where these values differ.
"""

import hashlib
import json
import re
from pathlib import Path

from tests.lab.clone import Clone
from tests.lab.lan import LINK

# A service answers org.freedesktop.DBus.Peer.GetMachineId with the ID that its own process holds. (dbus-daemon's
# policy forbids the call to itself, so the bus is asked through the file it reads.)
PEERS = {
    "machine-id of pid1": ("org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
    "machine-id of hostnamed": ("org.freedesktop.hostname1", "/org/freedesktop/hostname1"),
    "machine-id of logind": ("org.freedesktop.login1", "/org/freedesktop/login1"),
    "machine-id of networkmanager": ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"),
}
MACHINE_IDS = ("machine-id", "machine-id of dbus", "machine-id of hostnamectl", "machine-id of journald", *PEERS)
HOSTNAMES = ("hostname", "hostname of kernel", "hostname of hostnamed")
SEED = "/var/lib/systemd/random-seed"
SECRET = "/var/lib/NetworkManager/secret_key"


def identity(clone: Clone) -> dict[str, str]:
    """Return every value by which a running machine can be known; "" where it has none or nobody answers."""
    values = {
        "machine-id": _text(clone, "/etc/machine-id"),
        "machine-id of dbus": _said(clone, "dbus-uuidgen", "--get"),
        "machine-id of hostnamectl": _field(_said(clone, "hostnamectl", "status"), "Machine ID"),
        "machine-id of journald": _journald(clone),
        "hostname": _text(clone, "/etc/hostname"),
        "hostname of kernel": _said(clone, "uname", "-n"),
        "hostname of hostnamed": _quoted(
            _said(
                clone,
                *("busctl", "get-property", "org.freedesktop.hostname1", "/org/freedesktop/hostname1"),
                *("org.freedesktop.hostname1", "Hostname"),
            )
        ),
        "boot-id": _said(clone, "cat", "/proc/sys/kernel/random/boot_id"),
        "ssh keys of sshd": _served(clone),
        "random-seed": _digest(clone, SEED),
        "networkmanager secret": _digest(clone, SECRET),
        "dhcp leases": _leases(clone),
        "journal directories": " ".join(_names(clone, "/var/log/journal")),
    }
    for what, (service, path) in PEERS.items():
        call = ("busctl", "call", service, path, "org.freedesktop.DBus.Peer", "GetMachineId")
        values[what] = _quoted(_said(clone, *call))
    return values | _host_keys(clone) | _link(clone)


def machine_ids(values: dict[str, str]) -> dict[str, str]:
    """Return the machine IDs of an identity by who says them; in a whole machine all are the same."""
    return {key: values[key] for key in MACHINE_IDS if values.get(key)}


def hostnames(values: dict[str, str]) -> dict[str, str]:
    """Return the hostnames of an identity by who says them; in a whole machine all are the same."""
    return {key: values[key] for key in HOSTNAMES if values.get(key)}


def shared(first: dict[str, str], second: dict[str, str]) -> tuple[str, ...]:
    """Return what two identities have in common: the artefacts by which the machines are twins."""
    return tuple(key for key, value in first.items() if value and second.get(key) == value)


def _said(clone: Clone, *argv: str) -> str:
    done = clone.run(*argv, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _text(clone: Clone, path: str) -> str:
    try:
        return clone.read(path).strip()
    except OSError:
        return ""


def _names(clone: Clone, folder: str) -> tuple[str, ...]:
    where = clone.path(folder)
    return tuple(sorted(entry.name for entry in where.iterdir())) if where.is_dir() else ()


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _digest(clone: Clone, path: str) -> str:
    where = clone.path(path)
    return _sha(where) if where.is_file() else ""


def _quoted(answer: str) -> str:
    found = re.search(r'"(.*)"', answer)
    return found[1] if found else ""


def _field(listing: str, key: str) -> str:
    return next((line.partition(":")[2].strip() for line in listing.splitlines() if f"{key}:" in line), "")


def _journald(clone: Clone) -> str:
    entry = _said(clone, "journalctl", "-b", "-n", "1", "-o", "json", "--no-pager")
    return str(json.loads(entry).get("_MACHINE_ID", "")) if entry else ""


def _host_keys(clone: Clone) -> dict[str, str]:
    keys = {}
    for name in _names(clone, "/etc/ssh"):
        if name.startswith("ssh_host_") and name.endswith(".pub"):
            words = _said(clone, "ssh-keygen", "-l", "-f", f"/etc/ssh/{name}").split()
            keys[f"ssh key {name[9:-8]}"] = words[1] if len(words) > 1 else ""
    return keys


def _served(clone: Clone) -> str:
    answers = _said(clone, "ssh-keyscan", "-T", "2", "-t", "ed25519", "127.0.0.1")
    return " ".join(line.split()[-1] for line in answers.splitlines() if line and not line.startswith("#"))


def _leases(clone: Clone) -> str:
    folders = ("/var/lib/dhcp", "/var/lib/NetworkManager", "/run/systemd/netif/leases")
    found = [f"{folder}/{name}" for folder in folders for name in _names(clone, folder)]
    return " ".join(f"{path}={_digest(clone, path)}" for path in found if "lease" in path)


def _link(clone: Clone) -> dict[str, str]:
    described = _said(clone, "ip", "-j", "address", "show", "dev", LINK)
    link = json.loads(described)[0] if described else {}
    addresses = link.get("addr_info", [])

    def of(family: str) -> str:
        return " ".join(sorted(f"{a['local']}/{a['prefixlen']}" for a in addresses if a.get("family") == family))

    return {"mac": str(link.get("address", "")), "ipv4": of("inet"), "ipv6": of("inet6")}
