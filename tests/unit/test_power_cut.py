"""The power is cut before each thing that a boot does to the disk, and the next boot finishes the work.

One boot of a clone is the early run, then what the daemon renews, then the stamp. The disk is a folder, the programs
are stand-ins, everything between is the real code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nodeprep import apply, config, early, naming, renewal, run, stamp, steps, unchanged
from nodeprep.host import local, platform, programs
from nodeprep.judge import readiness, wanting
from nodeprep.model import Link, Profile, Stage
from nodeprep.steps import Situation
from tests.fakes import disk
from tests.fakes.managers import FakeManagers
from tests.fakes.power import Power, PowerCut

TEMPLATE_PLATFORM = ("11111111-2222-4333-8444-555555555555", "52:54:00:00:00:01")
CLONE_PLATFORM = ("99999999-8888-4777-a666-555555555555", "52:54:00:00:00:02")
ROLES = Path(__file__).parents[2] / "config" / "roles.d"
ATTIC = "/var/lib/nodeprep/attic"
RUNNING = frozenset({"systemd-journald.service"})


@dataclass
class Computer:
    """A disk, the platform under it, and how it boots."""

    root: Path
    sysfs: Path
    mac: str = TEMPLATE_PLATFORM[1]
    programs: disk.Programs = field(default_factory=disk.Programs)

    def on(self, platform_of: tuple[str, str]) -> None:
        """Put the disk into another machine."""
        self.mac = platform_of[1]
        disk.make_platform(self.sysfs, *platform_of)

    def boot(self) -> bool:
        """Boot, from the early run to the stamp; whether the node was ready."""
        assert early.main() == 0
        return self.main()

    def main(self) -> bool:
        """Do what the daemon does with a wire that nobody else is on."""
        link = Link("eth0", 2, self.mac, self.mac, carrier=True)
        profile = Profile("1111", "Wired", "eth0", None)
        managers = FakeManagers(str(self.root), (link,), (profile,))
        machine = managers.view("main")
        this = run.Run(machine, config.load(machine), platform.signals())
        this.decide()
        this.look()
        if wanting(this.findings) or this.decision.renews:
            if this.decision.renews:
                this.begin()
                this.look()
            for stage in Stage:
                situation = Situation(
                    machine_id=this.machine_id(),
                    hostname=naming.hostname_for(machine, this.config, this.machine_id(), [self.mac]),
                    links=this.machine.links(),
                    profiles=this.machine.profiles(),
                )
                plan = this.propose(run.draw(machine), situation, stage)
                if plan:
                    this.carry_out(plan)
                    this.machine = managers.view("main")
                    this.look()
            machine.remove_staging()
        ready = readiness(this.artefacts, this.findings, this.outcomes.values(), this.decision).ready
        if ready:
            this.finish()
        return ready

    def text(self, path: str) -> str:
        """Return a file's text, "" where there is none."""
        real = Path(f"{self.root}{path}")
        return real.read_text(errors="replace") if real.exists() else ""

    def machine_id(self) -> str:
        return self.text("/etc/machine-id").strip()

    def shape(self) -> dict[str, tuple[str, int]]:
        """Return path → type and mode of all that is there, the attic, /run and the names of machine IDs left out."""
        found = {}
        for folder, folders, names in os.walk(self.root):
            if folder in (f"{self.root}{ATTIC}", f"{self.root}/run"):
                folders.clear()
                continue
            for name in (*folders, *names):
                path = f"{folder}/{name}"
                mode = os.lstat(path).st_mode
                shown = re.sub("[0-9a-f]{32}", "MACHINE-ID", path[len(str(self.root)) :])
                shown = re.sub("[0-9a-f]{8}[.]0$", "SUBJECT.0", shown)  # made from the hostname
                found[shown] = (os.readlink(path) if stat.S_ISLNK(mode) else "", mode)
        return found


Make = Callable[[], Computer]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory where there is one: hundreds of disks are made in it."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


@pytest.fixture
def computer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a maker of template disks, each booted once at home: a stamp is there."""
    root, sysfs, golden = folder / "disk", folder / "sys", folder / "golden"
    monkeypatch.setenv("NODEPREP_SYSFS", str(sysfs))
    monkeypatch.setattr(unchanged, "STATE", f"{root}/var/lib/nodeprep")
    monkeypatch.setattr(local, "LocalMachine", Below.at(str(root)))
    monkeypatch.setattr(programs, "active_units", lambda units: units & RUNNING)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a disk that is only a folder gains nothing by it
    disk.make_template(golden)
    shutil.copytree(ROLES, golden / "usr/share/nodeprep/roles.d")

    def make() -> Computer:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(golden, root, symlinks=True)
        made = Computer(root, sysfs)
        monkeypatch.setattr(programs, "run", made.programs.run)
        made.on(TEMPLATE_PLATFORM)
        return made

    template = make()
    assert template.boot()
    assert template.programs.ran == []
    shutil.rmtree(golden)
    shutil.copytree(root, golden, symlinks=True)
    return make


class Below(local.LocalMachine):
    """What early takes for the whole machine."""

    @classmethod
    def at(cls, root: str) -> Callable[..., local.LocalMachine]:
        return lambda name, **told: cls(name, root, **told)


def clone(make: Make) -> Computer:
    """A copy that knows it by its stamp."""
    made = make()
    made.on(CLONE_PLATFORM)
    return made


def first_boot(make: Make) -> Computer:
    """An image that was baked offline: no stamp, but the template's identity."""
    made = make()
    (made.root / "var/lib/nodeprep/stamp.json").unlink()
    disk.put(made.root, run.BAKED_OFFLINE, b"")
    made.on(CLONE_PLATFORM)
    return made


MEMBERSHIP = {
    "/etc/kubernetes/kubelet.conf": b"clusters: []",
    "/etc/kubernetes/pki/ca.crt": b"the cluster's CA",
    "/etc/kubernetes/manifests/etcd.yaml": b"kind: Pod",
    "/var/lib/etcd/member/snap/db": b"the cluster's data",
}


def reset_member(make: Make) -> Computer:
    """A copy of a member, whose policy is to reset it."""
    made = make()
    disk.put(made.root, "/etc/nodeprep/nodeprep.toml", b'[identity]\njoined_clone = "reset"\n')
    for path, content in MEMBERSHIP.items():
        disk.put(made.root, path, content)
    assert made.boot()  # the template joined, and was booted since
    made.on(CLONE_PLATFORM)
    return made


KEPT = {
    *("/usr/sbin/make-ssl-cert", "/usr/sbin/nvme", "/usr/sbin/sshd", "/etc/group", "/etc/ssh/sshd_config"),
    "/var/lib/NetworkManager/NetworkManager.state",
}
"""Nobody's identity."""
HOSTNAME = disk.FILES["/etc/hostname"][0]
"""hostnamed replaces it, and keeps none."""


def template_values(computer: Computer) -> list[str]:
    """Return what of the template's is still in its place."""
    places = {path: Path(f"{computer.root}{path}") for path in disk.FILES if path not in KEPT}
    return [
        path
        for path, place in places.items()
        if place.is_file() and not place.is_symlink() and place.read_bytes() == disk.FILES[path][0]
    ]


def lost(computer: Computer) -> list[str]:
    """Return the template's files whose content is nowhere any more, neither in its place nor in the attic."""
    there = disk.contents(computer.root) | {HOSTNAME}
    former = {path: content for path, (content, _) in disk.FILES.items()}
    if computer.text("/etc/nodeprep/nodeprep.toml"):
        former |= MEMBERSHIP
    return [path for path, content in former.items() if content not in there]


def tls_halves(computer: Computer) -> tuple[str, str]:
    """Return what key and certificate of the snakeoil pair are marked with."""
    key = computer.text("/etc/ssl/private/ssl-cert-snakeoil.key")
    return key.removeprefix("private of "), computer.text("/etc/ssl/certs/ssl-cert-snakeoil.pem").removeprefix(
        "certificate of "
    )


def on_disk(computer: Computer) -> dict[Path, bytes]:
    """Return path → content of every file; /run is no disk."""
    found = (path for path in computer.root.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in found if computer.root / "run" not in path.parents}


def broken_promises(computer: Computer) -> list[str]:
    """Return what must hold at every moment, and does not."""
    broken = []
    if not re.fullmatch("[0-9a-f]{32}", computer.machine_id()):
        broken.append(f"machine-id is {computer.machine_id()!r}")
    if not any(private for private, _ in disk.pairs(computer.root).values()):
        broken.append("no private host key")
    if not computer.text("/etc/hostname").strip():
        broken.append("no hostname")
    if gone := lost(computer):
        broken.append(f"lost: {gone}")
    begun = computer.machine_id() != disk.MACHINE_ID or len(template_values(computer)) < len(disk.FILES) - len(KEPT)
    sealed = platform.digest(platform.signals()) in computer.text(stamp.PATH)
    if begun and not sealed and not computer.text(renewal.PATH):
        broken.append("renewed, and neither stamp nor renewal says so")
    return broken


def test_an_undisturbed_clone_ends_with_nothing_of_the_templates(computer: Make) -> None:
    one = clone(computer)

    assert one.boot()

    assert template_values(one) == []
    assert re.fullmatch("[0-9a-f]{32}", one.machine_id())
    assert os.readlink(one.root / "var/lib/dbus/machine-id") == "/etc/machine-id"
    assert [path.name for path in (one.root / "var/log/journal").iterdir()] == [one.machine_id()]
    assert set(disk.pairs(one.root)) == set(disk.KEY_TYPES)
    assert all(private == public for private, public in disk.pairs(one.root).values())
    assert one.text("/etc/hostname").startswith("worker-")
    assert f"127.0.1.1\t{one.text('/etc/hostname')}" in one.text("/etc/hosts")
    assert "10.77.0.9\tstorage # the operator's\n" in one.text("/etc/hosts")
    assert not one.text(renewal.PATH)
    replaced = {content for path, (content, _) in disk.FILES.items() if path not in KEPT and "journal" not in path}
    assert replaced - {HOSTNAME} <= disk.contents(Path(f"{one.root}{ATTIC}"))
    assert lost(one) == []


def test_a_boot_after_that_changes_nothing(computer: Make) -> None:
    one = clone(computer)
    one.boot()
    before = {path: path.read_bytes() for path in one.root.rglob("*") if path.is_file()}
    power = Power(one.root)

    assert power.supply(one.boot)

    assert power.done == []
    assert {path: path.read_bytes() for path in one.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("situation", "forgets", "every"),
    [
        pytest.param(clone, False, 3, id="clone"),
        pytest.param(clone, True, 1, id="clone-whose-disk-forgets-what-was-not-synced"),
        pytest.param(first_boot, False, 4, id="first-boot"),
        pytest.param(reset_member, False, 5, id="member-that-is-reset"),
    ],
)
def test_power_cut_before_each_touch(
    computer: Make, situation: Callable[[Make], Computer], forgets: bool, every: int
) -> None:
    one = situation(computer)
    undisturbed = Power(one.root)
    assert undisturbed.supply(one.boot)
    shape = one.shape()
    assert len(undisturbed.done) > 100
    failures = []
    for cut, what in list(enumerate(undisturbed.done))[::every]:
        one = situation(computer)
        assert Power(one.root, cut=cut, forgets=forgets).supply(one.boot) is None
        broken = [f"at once: {promise}" for promise in broken_promises(one)]
        renewed_id = one.machine_id() if one.machine_id() != disk.MACHINE_ID else None
        if not one.boot():
            broken.append("not ready at the next boot")
        broken += broken_promises(one)
        if left := template_values(one):
            broken.append(f"still the template's: {left}")
        if unmatched := {kind: pair for kind, pair in disk.pairs(one.root).items() if pair[0] != pair[1]}:
            broken.append(f"halves that do not match: {unmatched}")
        if (halves := tls_halves(one))[0] != halves[1]:
            broken.append(f"TLS halves that do not match: {halves}")
        if one.text(renewal.PATH):
            broken.append("the renewal did not end")
        if renewed_id and one.machine_id() != renewed_id:
            broken.append("renewed twice")
        if one.shape() != shape:
            broken.append(f"another shape: {dict(set(one.shape().items()) ^ set(shape.items()))}")
        if broken:
            failures.append(f"cut before {cut} {what}: {'; '.join(dict.fromkeys(broken))}")
    if failures:
        pytest.fail(f"{len(failures)} of {len(undisturbed.done)} cuts:\n" + "\n".join(failures[:20]), pytrace=False)


def test_an_undisturbed_reset_leaves_no_membership_but_in_the_attic(computer: Make) -> None:
    one = reset_member(computer)
    assert one.boot()
    assert not any(one.text(path) for path in MEMBERSHIP)
    assert set(MEMBERSHIP.values()) <= disk.contents(Path(f"{one.root}{ATTIC}"))
    assert template_values(one) == []


def test_power_cut_before_each_action(computer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    perform = apply.perform
    done: list[str] = []
    cut = -1

    def cut_short(action: steps.Action, touch: local.LocalMachine) -> None:
        if len(done) == cut:
            raise PowerCut(str(action))
        done.append(type(action).__name__)
        perform(action, touch)

    def boot_until(number: int) -> None:
        nonlocal cut
        cut = number
        done.clear()
        assert one.boot()

    monkeypatch.setattr(apply, "perform", cut_short)
    one = clone(computer)
    boot_until(-1)
    shape, every = one.shape(), list(done)
    assert {"WriteFile", "LinkFile", "RenameFolder", "ReplaceFiles", "ReplaceText"} <= set(every)
    assert {"RunProgram", "SetAside", "SetHostname"} <= set(every)
    for number, action in enumerate(every):
        one = clone(computer)
        with pytest.raises(PowerCut):
            boot_until(number)
        assert broken_promises(one) == [], action
        assert one.text(renewal.PATH), action
        boot_until(-1)
        assert one.shape() == shape, action
        assert template_values(one) == [], action


def test_power_cut_twice_in_a_row(computer: Make) -> None:
    one = clone(computer)
    undisturbed = Power(one.root)
    undisturbed.supply(one.boot)
    shape = one.shape()
    for first in range(0, len(undisturbed.done), 19):
        for second in range(0, first + 1, 23):
            one = clone(computer)
            assert Power(one.root, cut=first).supply(one.boot) is None
            Power(one.root, cut=second).supply(one.boot)
            assert one.boot()
            assert template_values(one) == [], (first, second)
            assert one.shape() == shape, (first, second)


def test_a_first_boot_of_a_sealed_image_renews_once(computer: Make) -> None:
    # Sealed: what is to be made anew is missing, not inherited.
    one = first_boot(computer)
    disk.put(one.root, "/etc/machine-id", b"uninitialized\n", 0o444)
    for path in (one.root / "etc/ssh").glob("ssh_host_*"):
        path.unlink()

    assert early.main() == 0
    machine_id, keys = one.machine_id(), disk.pairs(one.root)
    assert re.fullmatch("[0-9a-f]{32}", machine_id)
    assert set(keys) == set(disk.KEY_TYPES)
    assert one.main()

    assert one.machine_id() == machine_id
    assert disk.pairs(one.root) == keys


def test_the_renewal_outlives_the_early_run_and_ends_with_the_stamp(computer: Make) -> None:
    one = clone(computer)
    early.main()
    under_way = json.loads(one.text(renewal.PATH))
    assert under_way["origin"] == "clone"
    assert one.main()
    assert not one.text(renewal.PATH)
    assert platform.digest(platform.signals()) in one.text(stamp.PATH)


def test_nothing_is_touched_when_the_disk_is_full(computer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = clone(computer)
    before = on_disk(one)
    monkeypatch.setattr("nodeprep.host.room.MARGIN_BYTES", 1 << 62)

    assert early.main() == 0

    assert on_disk(one) == before


def test_the_keys_of_the_real_ssh_keygen_match(computer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("no ssh-keygen")
    one = clone(computer)
    stand_in, real = one.programs.run, subprocess.run

    def mixed(argv: tuple[str, ...], timeout_s: float) -> str:
        if argv[0] != "ssh-keygen":
            return stand_in(argv, timeout_s)
        real(argv, check=True, timeout=timeout_s, stdin=subprocess.DEVNULL)
        return ""

    monkeypatch.setattr(programs, "run", mixed)
    assert one.boot()
    private = sorted((one.root / "etc/ssh").glob("ssh_host_*_key"))
    assert {path.name.split("_")[2] for path in private} == set(disk.KEY_TYPES)
    for path in private:
        derived = real(("ssh-keygen", "-y", "-f", path), check=True, capture_output=True, text=True).stdout
        assert derived.split()[:2] == path.with_name(f"{path.name}.pub").read_text().split()[:2]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
