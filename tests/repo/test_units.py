"""The units, beside those they are ordered against: systemd's own judgement, offline."""

import itertools
import re
import shutil
from pathlib import Path

import pytest

from nodeprep.artefacts import catalogue
from tests.repo.sources import ROOT, UNITS, run

NEIGHBOURS = Path(__file__).with_name("neighbours")
NETWORKS = ("networking.service", "NetworkManager.service", "systemd-networkd.service")
CLOUD_INIT = ("cloud-init-local.service", "cloud-init.service")
FIREWALLS = ("firewalld.service", "ufw.service")
ALWAYS = ("nodeprep-early.service", "nodeprep.service", "kubelet.service", "ssh.service", "dbus.socket")
VOLUMES = ("var.mount", "var-lib-etcd.mount", "var-lib-kubelet.mount")

GATED = (
    "kubelet",
    "k3s",
    "k3s-agent",
    "rke2-server",
    "rke2-agent",
    "etcd",
    "snap.microk8s.daemon-kubelite",
    "snap.microk8s.daemon-k8s-dqlite",
    "snap.microk8s.daemon-cluster-agent",
)
ORDERING = re.compile(r"(After|Before|Wants|Requires|Conflicts|RequiresMountsFor|DefaultDependencies)=")

# systemd-analyze's exposure, 0 (none) to 10; they may only go down. What the daemon has left is what it is for: root,
# the machine's own network and its owners, Internet sockets, rights over network and files. Of units without default
# dependencies PrivateTmp=, ProtectHome= and ProtectSystem= are not counted, though they are in force.
EXPOSURE = {
    "nodeprep-early.service": 2.5,
    "nodeprep-unchanged.service": 2.7,
    "nodeprep.service": 2.5,
    "nodeprep-packets.service": 1.2,
    "nodeprep-witness.service": 1.2,
}


def machine(root: Path, enabled: tuple[str, ...]) -> Path:
    """Make a tree of systemd's own units, the neighbours and ours, and enable some."""
    system = root / "usr/lib/systemd/system"
    shutil.copytree("/usr/lib/systemd/system", system, symlinks=True, dirs_exist_ok=True)
    for folder in (NEIGHBOURS, UNITS):
        shutil.copytree(folder, system, dirs_exist_ok=True)
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "usr/bin").mkdir()
    # As on every merged Debian; verify looks for the programs that units name.
    (root / "bin").symlink_to("usr/bin")
    (root / "lib").symlink_to("usr/lib")
    for program in ("true", "python3", "nodeprep"):
        (root / "usr/bin" / program).touch(mode=0o755)
    said = run("systemctl", f"--root={root}", "enable", *enabled)
    assert said.returncode == 0, said.stdout
    return root


def verify(root: Path) -> str:
    """Return what systemd-analyze has to say of a boot of that tree."""
    return run("systemd-analyze", "verify", f"--root={root}", "--man=no", "multi-user.target").stdout


# firewalld after D-Bus and before the network, cloud-init after the network and before sysinit.target: those two make a
# cycle of their own, with or without nodeprep, except where NetworkManager lets cloud-init go first.
COMBINATIONS = [
    pytest.param((*ALWAYS, *VOLUMES, network, *cloud, firewall), id=f"{network}-{len(cloud)}-{firewall}")
    for network, cloud, firewall in itertools.product(NETWORKS, ((), CLOUD_INIT), FIREWALLS)
    if not (cloud and firewall == "firewalld.service" and network != "NetworkManager.service")
]


@pytest.mark.parametrize("enabled", COMBINATIONS)
def test_the_boot_has_no_ordering_cycle(tmp_path: Path, enabled: tuple[str, ...]) -> None:
    said = verify(machine(tmp_path, enabled))
    assert "cycle" not in said
    # Other units of the test's own machine may be at fault; ours may not.
    assert not [line for line in said.splitlines() if "nodeprep" in line]


def test_a_cycle_would_be_seen(tmp_path: Path) -> None:
    root = machine(tmp_path, (*ALWAYS, "NetworkManager.service"))
    unit = root / "usr/lib/systemd/system/nodeprep-early.service"
    unit.write_text(unit.read_text().replace("[Service]", "[Unit]\nAfter=dbus.service\n\n[Service]"))
    assert "ordering cycle" in verify(root)


@pytest.mark.parametrize(("name", "most"), EXPOSURE.items())
def test_the_sandbox_is_no_wider_than_it_was(tmp_path: Path, name: str, most: float) -> None:
    root = machine(tmp_path, ALWAYS)
    threshold = f"--threshold={most * 10:.0f}"
    said = run("systemd-analyze", "security", "--no-pager", "--offline=yes", f"--root={root}", threshold, name)
    assert said.returncode == 0, said.stdout[-400:]


def test_pid_1_is_hidden_from_no_unit_that_may_not_look_into_it() -> None:
    # Its arguments fix the machine ID of a container (systemd.machine_id=).
    for unit in UNITS.glob("nodeprep*.service"):
        lines = unit.read_text().splitlines()
        may_look = any(line.startswith("CapabilityBoundingSet=") and "CAP_SYS_PTRACE" in line for line in lines)
        assert may_look or "ProtectProc=ptraceable" not in lines, unit.name


def test_every_kubelet_waits_for_a_ready_node() -> None:
    drop_ins = {path.parent.name: path.read_text() for path in UNITS.glob("*.service.d/10-nodeprep.conf")}
    assert set(drop_ins) == {f"{name}.service.d" for name in GATED}
    assert len(set(drop_ins.values())) == 1
    settings = drop_ins["kubelet.service.d"].splitlines()
    assert {"Requires=nodeprep-ready.target", "After=nodeprep-ready.target"} <= set(settings)


def test_every_unit_that_an_artefact_holds_looks_whether_it_is_held() -> None:
    source = "usr/share/nodeprep/held.conf"
    links = (ROOT / "debian/nodeprep.links").read_text().splitlines()
    rows = [row for row in links if row.startswith(source)]
    held = {unit for artefact in catalogue() for unit in artefact.holds}
    assert rows == sorted(f"{source} usr/lib/systemd/system/{unit}.d/20-nodeprep-held.conf" for unit in held)


def test_no_unit_is_held_that_a_machine_is_reached_or_brought_up_by() -> None:
    held = {unit.partition(".")[0] for artefact in catalogue() for unit in artefact.holds}
    ways_in = {"ssh", "sshd", "sssd", "winbind", "tailscaled", "teleport", "NetworkManager", "networking", "snapd"}
    assert not held & ways_in
    assert not {unit for unit in held if unit.startswith("wg-quick")}


def test_a_unit_that_is_held_does_not_start(tmp_path: Path) -> None:
    # The condition as systemd itself reads it, in the drop-in of a unit of that name.
    condition = (UNITS / "held.conf").read_text().splitlines()[-1].partition("=")[2]
    assert condition == "!/var/lib/nodeprep/held/%n"
    (tmp_path / "salt-minion.service").touch()
    for name, said in (("salt-minion.service", 1), ("other.service", 0)):
        path = condition.replace("%n", name).replace("/var/lib/nodeprep/held", str(tmp_path))
        assert run("systemd-analyze", "condition", f"ConditionPathExists={path}").returncode == said


def test_stopping_the_daemon_stops_no_kubelet() -> None:
    target = (UNITS / "nodeprep-ready.target").read_text()
    assert not re.search(r"(?m)^(Requires|BindsTo|PartOf|Requisite|StopWhenUnneeded)=", target)


def test_all_services_have_the_same_ways_out() -> None:
    def conditions(name: str) -> list[str]:
        return [line for line in (UNITS / name).read_text().splitlines() if line.startswith("Condition")]

    unchanged, sealed = (
        "ConditionPathExists=!/run/nodeprep/boot/unchanged",
        "ConditionPathExists=!/run/nodeprep/sealed",
    )
    ways_out = conditions("nodeprep-unchanged.service")
    assert ways_out
    assert conditions("nodeprep-early.service") == [unchanged, *ways_out]
    assert conditions("nodeprep.service") == [*ways_out, sealed]


SHIPPED = sorted(path for path in UNITS.rglob("*") if path.is_file())


@pytest.mark.parametrize("unit", SHIPPED, ids=lambda unit: str(unit.relative_to(UNITS)))
def test_every_ordering_has_its_reason_above_it(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    for number, line in enumerate(lines):
        if ORDERING.match(line):
            # A reason may stand for a block of orderings.
            above = next(before for before in reversed(lines[:number]) if not ORDERING.match(before))
            assert above.startswith("#"), f"{unit.name}:{number + 1}: {line}"


def test_the_catalog_compiles(tmp_path: Path) -> None:
    catalog = tmp_path / "usr/lib/systemd/catalog"
    catalog.mkdir(parents=True)
    shutil.copy(UNITS / "nodeprep.catalog", catalog)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    said = run("journalctl", f"--root={tmp_path}", "--update-catalog")
    assert said.returncode == 0, said.stdout
    assert "rror" not in said.stdout
