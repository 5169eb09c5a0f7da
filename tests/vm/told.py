"""What the programs of a machine say it is, as JSON: run inside the machine, by its own Python and nothing else.

The keys are those of `tests.lab.identity`, which asks a container the same questions from outside.
"""

import glob
import hashlib
import json
import os
import re
import subprocess

PEERS = {
    "pid1": ("org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
    "hostnamed": ("org.freedesktop.hostname1", "/org/freedesktop/hostname1"),
    "logind": ("org.freedesktop.login1", "/org/freedesktop/login1"),
    "networkmanager": ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"),
}
HOSTNAMED = PEERS["hostnamed"]


def said(*argv: str) -> str:
    """Return what a program prints, or "" where it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def quoted(answer: str) -> str:
    """Return what stands in quotation marks."""
    found = re.search(r'"(.*)"', answer)
    return found[1] if found else ""


def scanned(listing: str) -> list[str]:
    """Return the keys that ssh-keyscan(1) lists, without the comments that some of its releases print among them."""
    return [line.split()[-1] for line in listing.splitlines() if line and not line.startswith("#")]


def content(path: str) -> bytes:
    """Return the bytes of a file, none where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def digest(path: str) -> str:
    """Return a digest of a file, or "" where there is none."""
    found = content(path)
    return hashlib.sha256(found).hexdigest()[:16] if found else ""


def link(name: str) -> dict[str, str]:
    """Return the MAC that a link bears, the hardware's own, and its addresses."""
    described = json.loads(said("ip", "-j", "address", "show", "dev", name) or "[{}]")[0]
    addresses = described.get("addr_info", ())

    def of(family: str) -> str:
        return " ".join(sorted(f"{one['local']}/{one['prefixlen']}" for one in addresses if one["family"] == family))

    return {"mac": described.get("address", ""), "ipv4": of("inet"), "ipv6": of("inet6")}


def machine() -> dict[str, str]:
    """Return every value by which this machine can be known; "" where it has none or nobody answers."""
    entry = said("journalctl", "-b", "-n", "1", "-o", "json", "--no-pager")
    served = said("ssh-keyscan", "-T", "20", "-t", "ed25519", "127.0.0.1")
    listing = said("hostnamectl", "status")
    values = {
        "machine-id": content("/etc/machine-id").decode().strip(),
        "machine-id of dbus": said("dbus-uuidgen", "--get"),
        "machine-id of hostnamectl": "".join(re.findall(r"Machine ID: *(\w+)", listing)),
        "machine-id of journald": json.loads(entry)["_MACHINE_ID"] if entry else "",
        "hostname": content("/etc/hostname").decode().strip(),
        "hostname of kernel": os.uname().nodename,
        "hostname of hostnamed": quoted(said("busctl", "get-property", *HOSTNAMED, HOSTNAMED[0], "Hostname")),
        "boot-id": content("/proc/sys/kernel/random/boot_id").decode().strip(),
        "ssh keys of sshd": " ".join(scanned(served)),
        "random-seed": digest("/var/lib/systemd/random-seed"),
        "networkmanager secret": digest("/var/lib/NetworkManager/secret_key"),
        "journal directories": " ".join(sorted(os.listdir("/var/log/journal"))),
    }
    for name, (service, path) in PEERS.items():
        call = ("busctl", "call", service, path, "org.freedesktop.DBus.Peer", "GetMachineId")
        values[f"machine-id of {name}"] = quoted(said(*call))
    for path in glob.glob("/etc/ssh/ssh_host_*_key.pub"):
        kind = path.split("_")[2]
        values[f"ssh key {kind}"] = " ".join(content(path).decode().split()[:2])
    (name,) = set(os.listdir("/sys/class/net")) - {"lo"}
    return values | link(name)


if __name__ == "__main__":
    print(json.dumps(machine()))
