"""Golden machines: a base tree with the package installed, booted once, used, shut down, and never sealed.

That is what people clone: machine ID, host keys, hostname, secrets, logs and network profile of the template are all
in it. Only what differs from the base tree is stored; clones are overlays over both.
"""

import hashlib
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab.clone import Clone
from tests.lab.disk import Disk
from tests.lab.lan import Lan
from tests.lab.traces import LabError, administer
from tests.lab.tree import Release, base_key, base_tree, locked

HOSTNAME = "golden"
LEASE = "/var/lib/NetworkManager/internal-5f0c1c1e-7b0e-4c55-9c1f-6d1b6c3c9a10-eth0.lease"
MAC = "52:54:00:77:00:10"
ADDRESS = "10.77.0.10/24"
PROFILE_PATH = "/etc/NetworkManager/system-connections/lan.nmconnection"
PROFILE = f"""\
[connection]
id=lan
uuid=5f0c1c1e-7b0e-4c55-9c1f-6d1b6c3c9a10
type=ethernet
interface-name=eth0

[ethernet]
cloned-mac-address={MAC}

[ipv4]
method=manual
address1={ADDRESS}

[ipv6]
method=auto
addr-gen-mode=stable-privacy
"""

# /proc of the host shows what an image builder's chroot shows: a PID 1 whose root is elsewhere.
_INSTALL = """
set -e
mount --make-rprivate /
mount --rbind /proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    dpkg --install /root/golden.deb
"""


CONFIGURATION = """\
[node]
roles = ["worker"]

[address]
on_conflict = "pool"
pool = ["10.77.0.100-10.77.0.199"]
"""


def worst_case(root: Path) -> None:
    """Add what a template has before its first boot: a configuration, a random seed, a machine ID of D-Bus's own."""
    (root / "etc/nodeprep/nodeprep.toml").write_text(CONFIGURATION)
    # systemd-random-seed does not run in a container; the seed of the template's last life is there all the same.
    seed = root / "var/lib/systemd/random-seed"
    seed.write_bytes(secrets.token_bytes(512))
    seed.chmod(0o600)
    # Debian links it; images that have been upgraded for long have a file.
    copy = root / "var/lib/dbus/machine-id"
    copy.unlink(missing_ok=True)
    copy.write_text((root / "etc/machine-id").read_text())


def left_a_lease(machine: Clone) -> None:
    """Leave what a template has from its last boot: a DHCP lease."""
    machine.write(LEASE, "# This is private data. Do not parse.\nADDRESS=10.77.0.77\n", 0o600)


@dataclass(frozen=True, slots=True)
class Golden:
    """A template that was used: its release, and the trees of it, uppermost first, for `Clone`."""

    release: Release
    layers: tuple[Path, ...]


def golden_tree(
    release: Release,
    deb: Path | None,
    *,
    store: Path,
    name: str = "plain",
    profile: str | None = PROFILE,
    prepare: Callable[[Path], None] | None = None,
    lived: Callable[[Clone], None] | None = None,
    extra: tuple[str, ...] = (),
    leases: bool = False,
) -> Golden:
    """Return the golden machine of that name, making it unless `store` has it.

    `prepare` gets the root directory before the first boot, with the package in it; `lived` gets the booted machine.
    The name must tell them apart: they are not part of what is compared. `profile` is NetworkManager's for eth0.
    `extra` are packages beside the base tree's. `leases` says whether a DHCP server is on its segment.
    """
    base = base_tree(release, extra)
    content = deb.read_bytes() if deb else b""
    digest = hashlib.sha256(
        b"\0".join((content, base_key(release, extra).encode(), (profile or "").encode()))
    ).hexdigest()
    tree = store / f"golden-{release.value}-{name}-{digest[:12]}"
    golden = Golden(release, (tree, base))
    with locked(tree.with_name(f"{tree.name}.lock")):
        if tree.is_dir():
            return golden
        part = tree.with_name(f"{tree.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            _furnish(Disk(name, (base,), part), deb, profile, prepare)
            with Lan(f"golden-{name}") as lan:
                if leases:
                    lan.serve_leases(part)
                _live(Clone(HOSTNAME, (base,), part, lan, MAC), lived)
            (part / "upper").rename(tree)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return golden


def _furnish(disk: Disk, deb: Path | None, profile: str | None, prepare: Callable[[Path], None] | None) -> None:
    disk.mount()
    try:
        root = disk.root
        (root / "etc/hostname").write_text(f"{HOSTNAME}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {HOSTNAME}\n")
        (root / "etc/resolv.conf").unlink(missing_ok=True)
        (root / "etc/machine-id").write_text(f"{secrets.token_hex(16)}\n")
        if profile:
            keyfile = root / PROFILE_PATH.lstrip("/")
            keyfile.write_text(profile)
            keyfile.chmod(0o600)
        if deb:
            shutil.copyfile(deb, root / "root/golden.deb")
            administer("unshare", "--mount", "--net", "sh", "-c", _INSTALL, "sh", str(root), timeout_s=120.0)
            (root / "root/golden.deb").unlink()
        if prepare:
            prepare(root)
    finally:
        disk.unmount()


def _live(machine: Clone, lived: Callable[[Clone], None] | None) -> None:
    try:
        machine.boot()
        if lived:
            lived(machine)
        machine.run("systemctl", "is-enabled", "ssh.service")
        if not machine.shutdown():
            raise LabError(f"the golden machine did not shut down by itself\n{machine.console.read_text()[-2000:]}")
        machine.release_disk()
    except BaseException:
        machine.remove()
        raise
