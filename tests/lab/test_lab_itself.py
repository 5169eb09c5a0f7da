"""The lab itself: it boots, cuts, reboots and shuts down machines on both releases, and leaves nothing behind."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone, journal_tail
from tests.lab.disk import inside
from tests.lab.golden import ADDRESS, HOSTNAME, MAC, Golden, golden_tree
from tests.lab.identity import hostnames, identity, machine_ids, shared
from tests.lab.lan import Lan
from tests.lab.traces import LabError, left_by, sweep
from tests.lab.tree import Release, base_tree

TOY_CONTROL = """\
Package: toy
Version: 1
Architecture: all
Maintainer: Lab <lab@localhost>
Description: a package that counts boots
"""
TOY_UNIT = """\
[Unit]
Description=Count boots

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo $(cat /proc/sys/kernel/random/boot_id) >> /var/lib/toy; echo counted'

[Install]
WantedBy=multi-user.target
"""
TOY_POSTINST = """\
#!/bin/sh
set -e
systemctl enable toy.service
if [ -d /run/systemd/system ]; then echo running; else echo offline; fi > /var/lib/toy-installed
"""
# What a client does: read sshd's greeting; be refused by a host that is there and has nothing on that port.
GREETING = """
import socket
print(socket.create_connection(("10.77.0.10", 22), timeout=5).recv(99).decode())
"""
REFUSAL = """
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.connect(("10.77.0.3", 9))
try:
    client.send(b"?")
    client.recv(1)
except ConnectionRefusedError:
    print("heard")
except OSError:
    print("silence")
"""
WRITTEN_BY_DEBIAN = ("/var/log/", "/var/tmp", "/var/lib/NetworkManager", "/var/lib/systemd", "/etc/.pwd.lock", "/etc")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a package whose unit writes a line to the disk at each boot."""
    folder = tmp_path_factory.mktemp("toy")
    files = {
        "DEBIAN/control": TOY_CONTROL,
        "DEBIAN/postinst": TOY_POSTINST,
        "usr/lib/systemd/system/toy.service": TOY_UNIT,
    }
    for name, text in files.items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name.endswith("postinst") else 0o644)
    deb = folder / "toy.deb"
    options = ("--root-owner-group", "--build")
    subprocess.run(("dpkg-deb", *options, str(folder / "tree"), str(deb)), check=True, capture_output=True)
    return deb


@pytest.fixture(scope="session")
def used(release: Release, toy: Path, store: Path) -> Golden:
    """Return a golden machine with the toy."""

    def lived(machine: Clone) -> None:
        machine.write("/root/lived", identity(machine)["machine-id"])

    def prepare(root: Path) -> None:
        (root / "root/prepared").write_text("yes\n")

    return golden_tree(release, toy, store=store, name="toy", prepare=prepare, lived=lived)


def wait_for_address(clone: Clone) -> None:
    """Wait until NetworkManager has activated the profile."""
    clone.wait_for(lambda: ADDRESS in clone.run("ip", "address", "show", "dev", "eth0").stdout)


def test_twins_live_through_power_cut_reboot_and_shutdown(used: Golden, make_clone: MakeClone, lan: Lan) -> None:
    twins = [make_clone(name, mac=MAC, layers=used.layers) for name in ("a", "b")]
    for twin in twins:
        twin.boot(wait=False, credentials={"lab.word": "a b\\c:\u00e4"})
    assert [twin.wait_booted() for twin in twins] == ["running", "running"]
    first, second = twins
    for twin in twins:
        wait_for_address(twin)
        assert twin.run("hostname").stdout.strip() == HOSTNAME
        assert twin.read("/var/lib/toy-installed") == "offline\n"
        assert "counted" in twin.journal("toy.service")
        assert twin.failed_units() == ()
        assert twin.run("cat", "/run/credentials/@system/lab.word").stdout == "a b\\c:\u00e4"
        assert len(twin.read("/var/lib/toy").split()) == 2

    first.write("/root/kept", "kept\n", 0o600)
    first.write("/run/gone", "gone\n")
    first.power_cut()
    assert not first.running
    assert second.running
    assert first.read("/root/kept") == "kept\n"
    first.boot()
    assert first.run("cat", "/root/kept").stdout == "kept\n"
    assert not first.exists("/run/gone")
    assert len(first.read("/var/lib/toy").split()) == 3

    before = first.leader
    first.run("systemctl", "reboot", check=False)
    first.wait_rebooted(3)
    assert first.leader != before
    assert first.boots == 3
    assert len(first.read("/var/lib/toy").split()) == 4
    wait_for_address(first)

    assert second.shutdown()
    lan.client()
    assert lan.run("client", sys.executable, "-c", GREETING).stdout.startswith("SSH-2.0-")
    assert first.shutdown()
    assert not any(twin.running for twin in twins)
    assert journal_tail(first).startswith("off")


def test_twins_share_what_the_template_had(used: Golden, make_clone: MakeClone) -> None:
    twins = [make_clone(name, mac=MAC, layers=used.layers) for name in ("a", "b")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(Clone.boot, twins))
    for twin in twins:
        wait_for_address(twin)
    first, second = (identity(twin) for twin in twins)
    for values in (first, second):
        assert set(machine_ids(values).values()) == {twins[0].read("/root/lived")}
        assert len(machine_ids(values)) == 8
        assert set(hostnames(values).values()) == {HOSTNAME}
        assert values["mac"] == MAC
        assert values["ipv4"] == ADDRESS
        assert values["journal directories"] == values["machine-id"]
    same = shared(first, second)
    assert {"ssh key ed25519", "ssh keys of sshd", "networkmanager secret", "machine-id"} <= set(same)
    assert "boot-id" not in same


def test_a_program_that_runs_while_its_machine_shuts_down_does_not_hold_it_up(
    used: Golden, make_clone: MakeClone
) -> None:
    machine = make_clone("busy", layers=used.layers)
    machine.boot()
    machine.wait_booted()
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(machine.run, "sleep", "90", check=False, timeout=80.0)
        machine.wait_for(("pgrep", "-x", "sleep"), 10.0)
        begin = time.monotonic()
        assert machine.shutdown()
        assert time.monotonic() - begin < 20
        assert running.result(10).returncode


def test_snapshot_shows_what_a_boot_wrote(used: Golden, make_clone: MakeClone) -> None:
    clone = make_clone("a", layers=used.layers)
    clone.boot(kernel_arguments=("systemd.mask=toy.service",))
    clone.shutdown()
    before = clone.disk_snapshot()
    assert "/etc/machine-id" not in before
    clone.boot(kernel_arguments=("systemd.mask=toy.service",))
    clone.shutdown()
    after = clone.disk_snapshot()
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path for path in changed if not path.startswith(WRITTEN_BY_DEBIAN)} == set()
    clone.boot()
    assert "/var/lib/toy" in clone.disk_snapshot()


def test_base_tree_boots_alone_and_with_a_bound_directory(
    release: Release, make_clone: MakeClone, tmp_path: Path
) -> None:
    (tmp_path / "dmi").mkdir()
    (tmp_path / "dmi/product_uuid").write_text("42\n")
    clone = make_clone("plain", layers=(base_tree(release),))
    clone.boot(binds={tmp_path / "dmi": "/run/hypervisor"})
    assert clone.run("cat", "/run/hypervisor/product_uuid").stdout == "42\n"
    with pytest.raises(LabError, match="exit 3\nout"):
        clone.run("sh", "-c", "echo out >&2; exit 3")
    started = time.monotonic()
    with pytest.raises(LabError, match="no end within"):
        clone.run("sleep", "20", timeout=0.5)
    assert time.monotonic() - started < 5
    with pytest.raises(LabError, match="waited"):
        clone.wait_for(("false",), timeout=0.3)
    assert clone.run("cat", stdin="through").stdout == "through"


def test_lost_and_parted_frames_do_not_arrive() -> None:
    with Lan() as lan:
        for name, address in (("a", "10.77.0.2/24"), ("b", "10.77.0.3/24")):
            lan.client(address, name)

        def answered() -> bool:
            return lan.run("a", sys.executable, "-c", REFUSAL).stdout == "heard\n"

        assert answered()
        lan.loss(100)
        assert not answered()
        lan.loss(0)
        assert answered()
        lan.part("a")
        assert not answered()
        lan.part()
        assert answered()


def test_paths_never_leave_the_machine(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/absolute").symlink_to("/etc/passwd")
    (tmp_path / "etc/upwards").symlink_to("../../../../etc/shadow")
    (tmp_path / "etc/loop").symlink_to("loop")
    assert inside(tmp_path, "/etc/absolute") == tmp_path / "etc/passwd"
    assert inside(tmp_path, "/etc/upwards") == tmp_path / "etc/shadow"
    with pytest.raises(LabError, match="too many"):
        inside(tmp_path, "/etc/loop")


def test_nothing_is_left_after_a_failure(release: Release, tmp_path: Path) -> None:
    before = left_by(os.getpid())
    clone = Clone("broken", (base_tree(release),), tmp_path / "broken")
    clone.boot(wait=False, kernel_arguments=("systemd.unit=emergency.target",))
    with pytest.raises(LabError):
        clone.wait_booted(timeout=1.0)
    assert left_by(os.getpid()) != before
    clone.remove()
    assert left_by(os.getpid()) == before
    assert not (tmp_path / "broken").exists()


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[int]:
    """Return the process number of a run that was killed while its machine ran."""
    script = f"""
        import sys, time
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        from lab.clone import Clone
        from lab.lan import Lan
        from lab.tree import Release, base_tree
        lan = Lan()
        lan.open()
        clone = Clone("lost", (base_tree(Release.BOOKWORM),), Path({str(tmp_path)!r}) / "lost", lan)
        clone.boot(wait=False)
        print("on", flush=True)
        time.sleep(60)
    """
    command = (sys.executable, "-c", textwrap.dedent(script))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "on\n"
        process.kill()
    yield process.pid
    sweep()


def test_sweep_removes_what_a_killed_run_left(killed: int) -> None:
    assert left_by(killed)
    deadline = time.monotonic() + 10.0
    while left_by(killed) and time.monotonic() < deadline:
        sweep()
    assert left_by(killed) == ()


def test_nothing_is_left_at_the_end() -> None:
    assert left_by(os.getpid()) == ()
