"""The order of a boot among the units of real packages, judged by each Debian's own systemd: no ordering cycle."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.disk import Disk
from tests.lab.test_cloud_init import PACKAGES
from tests.lab.traces import administer
from tests.lab.tree import Release, base_tree

UNITS = Path(__file__).parents[2] / "units"
NETWORKS = {
    "ifupdown": ("networking.service",),
    "NetworkManager": ("NetworkManager.service", "NetworkManager-wait-online.service"),
    "networkd": ("systemd-networkd.service", "systemd-networkd-wait-online.service"),
}
CLOUD_INIT = (
    "cloud-init-main.service",
    "cloud-init-local.service",
    "cloud-init.service",
    "cloud-init-network.service",
    "cloud-config.service",
    "cloud-final.service",
)
FIREWALL = ("firewalld.service",)
OURS = ("nodeprep-early.service", "nodeprep.service")
ALL = (*(unit for units in NETWORKS.values() for unit in units), *CLOUD_INIT, *FIREWALL)
FIREWALL_PACKAGES = {Release.BOOKWORM: PACKAGES[Release.BOOKWORM], Release.TRIXIE: ("firewalld", "ifupdown")}
VERIFY = """
set -e
mount --make-rprivate /
mount --rbind /proc "$1/proc"
exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin SYSTEMD_LOG_TARGET=console \
    systemd-analyze verify --man=no multi-user.target
"""


def tree(release: Release, packages: tuple[str, ...], folder: Path) -> Iterator[Path]:
    """Yield the root of a release with packages and our units, which the test may change."""
    disk = Disk("order", (base_tree(release, packages),), folder)
    disk.mount()
    try:
        system = disk.root / "usr/lib/systemd/system"
        shutil.copytree(UNITS, system, dirs_exist_ok=True)
        kubelet = "[Unit]\nWants=network-online.target\nAfter=network-online.target\n[Service]\nExecStart=/bin/true\n"
        (system / "kubelet.service").write_text(f"{kubelet}[Install]\nWantedBy=multi-user.target\n")
        (disk.root / "usr/bin/nodeprep").touch(mode=0o755)
        yield disk.root
    finally:
        disk.erase()


@pytest.fixture(scope="module")
def with_cloud_init(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a tree with cloud-init."""
    yield from tree(release, PACKAGES[release], tmp_path_factory.mktemp("order") / "cloud")


@pytest.fixture(scope="module")
def with_firewall(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a tree with firewalld."""
    yield from tree(release, FIREWALL_PACKAGES[release], tmp_path_factory.mktemp("order") / "firewall")


def enable(root: Path, network: str, *, cloud: bool, firewall: bool) -> None:
    """Let the tree boot with this network manager, and with these or without."""
    system = root / "usr/lib/systemd/system"
    administer("systemctl", f"--root={root}", "disable", *(unit for unit in (*ALL, *OURS) if (system / unit).exists()))
    wanted = (*NETWORKS[network], *(FIREWALL if firewall else ()), *OURS, "kubelet.service")
    if cloud:
        wanted += tuple(unit for unit in CLOUD_INIT if (system / unit).exists())
    administer("systemctl", f"--root={root}", "enable", *wanted)
    # cloud-init's generator puts its target into the boot, and no generator is run here.
    target = root / "etc/systemd/system/multi-user.target.wants/cloud-init.target"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if cloud:
        target.symlink_to("/usr/lib/systemd/system/cloud-init.target")


def verify(root: Path) -> str:
    """Return what the tree's own systemd has to say of its boot."""
    command = ("unshare", "--mount", "sh", "-c", VERIFY, "sh", str(root))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def assert_in_order(root: Path) -> None:
    """Assert that nothing of ours is in a cycle, or otherwise at fault."""
    said = verify(root)
    assert "ordering cycle" not in said, said
    assert not [line for line in said.splitlines() if "nodeprep" in line], said


@pytest.mark.parametrize("cloud", [False, True], ids=["", "cloud-init"])
@pytest.mark.parametrize("network", NETWORKS)
def test_no_cycle_beside_a_network_manager(with_cloud_init: Path, network: str, cloud: bool) -> None:
    enable(with_cloud_init, network, cloud=cloud, firewall=False)
    assert_in_order(with_cloud_init)


@pytest.mark.parametrize("network", NETWORKS)
def test_no_cycle_beside_firewalld(with_firewall: Path, network: str) -> None:
    enable(with_firewall, network, cloud=False, firewall=True)
    assert_in_order(with_firewall)


def test_no_cycle_beside_firewalld_and_cloud_init(release: Release, with_cloud_init: Path) -> None:
    if "firewalld" not in PACKAGES[release]:
        pytest.skip("this release's cloud-init conflicts with firewalld")
    # With the others these two make a cycle of their own, with or without nodeprep.
    enable(with_cloud_init, "NetworkManager", cloud=True, firewall=True)
    assert_in_order(with_cloud_init)


def test_a_cycle_would_be_seen(with_cloud_init: Path) -> None:
    enable(with_cloud_init, "NetworkManager", cloud=True, firewall=False)
    drop_in = with_cloud_init / "etc/systemd/system/nodeprep-early.service.d/cycle.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Unit]\nAfter=dbus.service\n")
    try:
        assert "ordering cycle" in verify(with_cloud_init)
    finally:
        shutil.rmtree(drop_in.parent)
