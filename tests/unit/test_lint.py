"""Linting: each thing that an image must not have, and what it may."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeprep import fleetkey, lint, run, stamp
from nodeprep.artefacts import catalogue
from nodeprep.host.image import Image
from nodeprep.messages import BY_CODE
from nodeprep.report import Problem
from tests.fakes import disk

CATALOGUE = catalogue()
SEALED = b"sealed 2026-11-24T04:00:00Z\n"
KEYFILE = "/etc/NetworkManager/system-connections/lan.nmconnection"
NETPLAN = "/etc/netplan/50-cloud-init.yaml"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return an image that is clean."""
    disk.put(tmp_path, "/etc/machine-id", b"", 0o444)
    disk.put(tmp_path, run.BAKED_OFFLINE, SEALED)
    disk.put(tmp_path, fleetkey.PATH, b"ab" * 32, 0o600)
    return tmp_path


def found(root: Path) -> tuple[Problem, ...]:
    return lint.lint(CATALOGUE, Image(str(root)))


def codes(root: Path) -> list[str]:
    return [problem.code for problem in found(root)]


def test_a_sealed_image_is_clean(image: Path) -> None:
    assert found(image) == ()


@pytest.mark.parametrize(
    ("key", "code"), [(None, "no-fleet-key"), (b"\n", "no-fleet-key"), (b"garbled\n", "unreadable")]
)
def test_an_image_whose_clones_could_not_hear_one_another(image: Path, key: bytes | None, code: str) -> None:
    (image / fleetkey.PATH[1:]).unlink()
    if key is not None:
        disk.put(image, fleetkey.PATH, key, 0o600)
    (problem,) = found(image)
    assert problem.code == code
    assert fleetkey.PATH in f"{problem.subject} {problem.detail}"


def test_a_used_template_tells_each_artefact_and_shows_no_secret(tmp_path: Path) -> None:
    disk.make_template(tmp_path)
    rows = found(tmp_path)
    baked = {row.subject for row in rows if row.code == "baked-in"}
    assert {"machine-id", "ssh-host-keys", "random-seed", "dhcp-identity", "networkmanager-key", "hostname"} <= baked
    assert disk.MACHINE_ID not in repr(rows)
    assert "template's-ed25519" not in repr(rows)


def test_every_code_is_explained(tmp_path: Path) -> None:
    disk.make_template(tmp_path)
    assert {row.code for row in found(tmp_path)} <= set(BY_CODE)


@pytest.mark.parametrize(
    ("mark", "others", "detail"),
    [
        pytest.param(None, {}, "the first boot would adopt", id="installed-without-a-mark"),
        pytest.param(None, {stamp.PATH: b"{}"}, "a machine has lived on it", id="a-machine-that-ran"),
        pytest.param(b"sealing\n", {}, "sealing was cut off", id="cut-off"),
        pytest.param(SEALED, {"/etc/machine-id": b"ab" * 16 + b"\n"}, "booted after", id="booted-without-nodeprep"),
        pytest.param(SEALED, {"/var/lib/nodeprep/renewal.json": b"{}"}, "booted after", id="booted-and-held"),
    ],
)
def test_what_is_not_sealed(image: Path, mark: bytes | None, others: dict[str, bytes], detail: str) -> None:
    (image / run.BAKED_OFFLINE[1:]).unlink()
    if mark is not None:
        disk.put(image, run.BAKED_OFFLINE, mark)
    for path, content in others.items():
        (image / path[1:]).unlink(missing_ok=True)
        disk.put(image, path, content)
    (row,) = (row for row in found(image) if row.code == "not-sealed")
    assert detail in row.detail


@pytest.mark.parametrize("mark", [b"", b"marked 2026-11-24T04:00:00Z\n"])
def test_an_image_that_was_baked_offline_or_marked_needs_no_sealing(image: Path, mark: bytes) -> None:
    disk.put(image, run.BAKED_OFFLINE, mark)
    assert found(image) == ()


@pytest.mark.parametrize("content", [None, b"uninitialized\n"])
def test_a_machine_id_that_makes_systemd_apply_presets(image: Path, content: bytes | None) -> None:
    (image / "etc/machine-id").unlink()
    if content:
        disk.put(image, "/etc/machine-id", content)
    assert codes(image) == ["machine-id-file"]


def test_the_membership_of_a_cluster(image: Path) -> None:
    disk.put(image, "/etc/kubernetes/kubelet.conf", b"x")
    assert codes(image) == ["joined-image"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (KEYFILE, "[ethernet]\nmac-address=52:54:00:77:00:10\n"),
        (KEYFILE, "[ethernet]\ncloned-mac-address=52:54:00:77:00:10\n"),
        (NETPLAN, "network:\n  ethernets:\n    id0:\n      match:\n        macaddress: '52:54:00:77:00:10'\n"),
        ("/etc/systemd/network/10-lan.network", "[Match]\nMACAddress=52:54:00:77:00:10\n"),
        ("/etc/systemd/network/10-lan.link", "[Match]\nPermanentMACAddress=52-54-00-77-00-10\n"),
        ("/etc/network/interfaces.d/eth0", "iface eth0 inet dhcp\n  hwaddress ether 52:54:00:77:00:10\n"),
    ],
)
def test_a_mac_in_a_profile(image: Path, path: str, text: str) -> None:
    disk.put(image, path, text.encode())
    problems = [row for row in found(image) if row.code == "mac-in-profile"]
    assert [row.subject for row in problems] == [path]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (KEYFILE, "[ethernet]\n# mac-address=52:54:00:77:00:10\ncloned-mac-address=stable\n"),
        (KEYFILE, "[wifi]\nseen-bssids=52:54:00:77:00:10;\n"),
        (KEYFILE, "[ipv6]\naddr-gen-mode=stable-privacy\nmethod=auto\n"),
        (NETPLAN, "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n      nameservers: {addresses: [10.0.0.1]}\n"),
        (NETPLAN, "n:\n  nameservers:\n    addresses:\n      - 10.0.0.1\n  routes:\n    - to: 10.0.0.0/8\n"),
        ("/etc/systemd/network/10-lan.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"),
        ("/etc/network/interfaces", "auto lo\niface lo inet loopback\n  address 127.0.0.1/8\n"),
    ],
)
def test_a_profile_that_ties_nothing_to_the_template(image: Path, path: str, text: str) -> None:
    disk.put(image, path, text.encode())
    assert found(image) == ()


@pytest.mark.parametrize(
    ("path", "text", "address"),
    [
        (KEYFILE, "[ipv4]\nmethod=manual\naddress1=10.77.0.10/24,10.77.0.1\n", "10.77.0.10/24,10.77.0.1"),
        (NETPLAN, "n:\n  eth0:\n    addresses: [10.77.0.10/24]\n", "10.77.0.10/24"),
        (NETPLAN, "n:\n  eth0:\n    addresses:\n      - fd00::11/64\n", "fd00::11/64"),
        ("/etc/systemd/network/10-lan.network", "[Network]\nAddress=10.77.0.10/24\n", "10.77.0.10/24"),
        ("/etc/network/interfaces", "iface eth0 inet static\n  address 10.77.0.10\n", "10.77.0.10"),
    ],
)
def test_a_static_address(image: Path, path: str, text: str, address: str) -> None:
    disk.put(image, path, text.encode())
    assert [(row.code, row.detail) for row in found(image)] == [("static-address", address)]
    disk.put(image, "/etc/nodeprep/nodeprep.toml", b'[address]\non_conflict = "dhcp"\n')
    assert found(image) == (), "the policy says what becomes of it"


def test_a_configuration_that_cannot_be_used(image: Path) -> None:
    disk.put(image, "/etc/nodeprep/nodeprep.toml", b"[nonsense\n")
    assert codes(image) == ["config"]


@pytest.mark.parametrize("text", ["datasource_list: [ None ]\n", "datasource_list:\n- None\n"])
def test_cloud_init_without_a_datasource(image: Path, text: str) -> None:
    disk.put(image, "/etc/cloud/cloud.cfg", b"datasource_list: [ NoCloud, None ]\n")
    assert found(image) == ()
    disk.put(image, "/etc/cloud/cloud.cfg.d/99-installer.cfg", text.encode())
    assert codes(image) == ["no-datasource"]
    disk.put(image, "/etc/cloud/cloud.cfg.d/99-zz.cfg", b"datasource_list: [ NoCloud, None ]\n")
    assert found(image) == (), "a later file wins"


def test_a_seed_of_cloud_init(image: Path) -> None:
    disk.put(image, "/var/lib/cloud/seed/nocloud/meta-data", b"instance-id: iid-1\n")
    assert codes(image) == ["cloud-init-seed"]


def test_an_encrypted_volume(image: Path) -> None:
    disk.put(image, "/etc/crypttab", b"# none\nswap /dev/sda3 /dev/urandom swap\nroot UUID=1234 none luks\n")
    (row,) = found(image)
    assert (row.code, row.subject) == ("baked-in", "luks-volumes")
    assert "reencrypt" in row.remedy


def test_what_cannot_be_read_is_told_and_hides_nothing_else(image: Path) -> None:
    (image / KEYFILE[1:]).mkdir(parents=True)
    disk.put(image, "/var/lib/cloud/seed/nocloud/meta-data", b"instance-id: iid-1\n")
    assert set(codes(image)) == {"unreadable", "cloud-init-seed"}
