"""Beside cloud-init: what a datasource says of a machine stands, what nodeprep says where none does stands as well."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_whole, ready
from tests.lab.golden import Golden, golden_tree, worst_case
from tests.lab.identity import identity
from tests.lab.test_seal import MARK, on_image
from tests.lab.tree import Release

PACKAGES = {
    # One tree for all tests that want these; Debian 13's cloud-init does not go together with firewalld.
    Release.BOOKWORM: ("cloud-init", "firewalld", "ifupdown"),
    Release.TRIXIE: ("cloud-init", "ifupdown"),
}
SOURCES = """\
datasource_list: [ NoCloud, None ]
network: { config: disabled }
# What is installed, and found in a network that is not there.
cloud_config_modules: []
cloud_final_modules: []
"""
SEED = "/var/lib/cloud/seed/nocloud"
UUID, MAC = "4c4c4544-0042-3510-8052-b4c04f56423a", "52:54:00:77:04:01"
NAME = "given-by-the-cloud"
BOOT_S = 120.0


def with_cloud_init(root: Path) -> None:
    """Furnish a template with cloud-init that looks for a seed, on a platform of its own."""
    worst_case(root)
    platform.point_there(root)
    (root / "etc/cloud/cloud.cfg.d/90-lab.cfg").write_text(SOURCES)
    for unit in ("firewalld.service", "networking.service"):
        (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template that has lived with cloud-init, and without a datasource."""
    return golden_tree(release, deb, store=store, name="cloud-init", prepare=with_cloud_init, extra=PACKAGES[release])


@pytest.fixture
def host_key(tmp_path: Path) -> tuple[str, str]:
    """Return a host key that a cloud gives, private and public."""
    path = tmp_path / "key"
    command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cloud", "-f", str(path))
    subprocess.run(command, check=True, timeout=30)
    return path.read_text(), path.with_suffix(".pub").read_text()


@pytest.fixture
def sealed(template: Golden, make_clone: MakeClone) -> Golden:
    """Return the template as an image that was sealed."""
    image = make_clone("image", layers=template.layers)
    said = on_image(image)
    assert said.returncode == 0, said
    assert "cloud-init" not in on_image(image, "--check").stdout
    image.release_disk()
    return Golden(template.release, (image.upper, *template.layers))


def give(clone: Clone, host_key: tuple[str, str]) -> None:
    """Give a clone a name and a host key of its own, as a hypervisor's datasource does."""
    private, public = host_key
    indented = "".join(f"    {line}\n" for line in private.splitlines())
    keys = f"ssh_keys:\n  ed25519_private: |\n{indented}  ed25519_public: {public}"
    clone.write(f"{SEED}/meta-data", f"instance-id: iid-{clone.name}\nlocal-hostname: {NAME}\n")
    clone.write(f"{SEED}/user-data", f"#cloud-config\n{keys}", 0o600)


def boot(clone: Clone, credentials: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Boot a clone and return its status once it is ready and cloud-init is through."""
    clone.boot(timeout=BOOT_S, credentials=credentials)
    clone.run("cloud-init", "status", "--wait", check=False, timeout=BOOT_S)
    document = ready(clone)
    assert clone.failed_units() == ()
    return document


def boot_twice(clone: Clone, origin: str, credentials: Mapping[str, str] | None = None) -> dict[str, str]:
    """Boot a clone, then again, and return its identity, which must be the same after both."""
    document = boot(clone, credentials)
    assert document["node"]["origin"] == origin
    first = identity(clone)
    assert_whole(first)
    clone.shutdown()
    again = boot(clone, credentials)
    assert again["node"]["origin"] == "same"
    assert again["changes"] == []
    second = identity(clone)
    # journald's own clock, and detections of duplicates that are counted on.
    volatile = {"boot-id", "ipv6"}
    assert {k: v for k, v in second.items() if k not in volatile} == {
        k: v for k, v in first.items() if k not in volatile
    }
    return second


def test_what_a_datasource_gives_a_sealed_image_stands(
    sealed: Golden, make_clone: MakeClone, host_key: tuple[str, str]
) -> None:
    clone = make_clone("given", layers=sealed.layers)
    give(clone, host_key)
    values = boot_twice(clone, "first-boot")
    assert values["hostname"] == NAME
    assert clone.read("/etc/hosts").count(f"127.0.1.1\t{NAME}") == 1
    assert clone.read("/etc/ssh/ssh_host_ed25519_key.pub").split()[1] == host_key[1].split()[1]
    assert values["ssh keys of sshd"] == host_key[1].split()[1]


def test_what_a_datasource_gives_a_clone_of_a_template_that_was_not_sealed_stands(
    template: Golden, make_clone: MakeClone, host_key: tuple[str, str]
) -> None:
    clone = make_clone("given", layers=template.layers)
    platform.present(clone, UUID, MAC)
    give(clone, host_key)
    values = boot_twice(clone, "clone")
    assert values["hostname"] == NAME
    assert values["ssh keys of sshd"] == host_key[1].split()[1]


def test_a_credential_names_a_machine_whatever_the_datasource_says(
    sealed: Golden, make_clone: MakeClone, host_key: tuple[str, str]
) -> None:
    clone = make_clone("named", layers=sealed.layers)
    give(clone, host_key)
    values = boot_twice(clone, "first-boot", {"nodeprep.hostname": "named-by-credential"})
    assert values["hostname"] == "named-by-credential"


def test_without_a_datasource_the_name_is_ours_and_cloud_init_does_not_undo_it(
    sealed: Golden, make_clone: MakeClone
) -> None:
    clone = make_clone("ours", layers=sealed.layers)
    values = boot_twice(clone, "first-boot")
    assert values["hostname"].startswith("worker-")


def test_a_clone_without_a_datasource_is_renamed_and_cloud_init_does_not_undo_it(
    template: Golden, make_clone: MakeClone
) -> None:
    clone = make_clone("ours", layers=template.layers)
    platform.present(clone, UUID, MAC)
    before = clone.read("/etc/hostname").strip()
    values = boot_twice(clone, "clone")
    assert values["hostname"].startswith("worker-")
    assert values["hostname"] != before


def test_cloud_init_clean_makes_the_next_boot_a_first_boot(template: Golden, make_clone: MakeClone) -> None:
    clone = make_clone("cleaned", layers=template.layers)
    assert boot(clone)["node"]["origin"] == "same"
    before = identity(clone)
    clone.run("cloud-init", "clean", "--logs")
    assert clone.read(MARK).startswith("marked ")
    clone.run("hostnamectl", "set-hostname", "renamed-meanwhile")
    clone.wait_for(lambda: "was changed by an operator" in clone.journal("nodeprep.service"), 40.0)
    assert clone.read(MARK).startswith("marked "), "what the daemon writes meanwhile does not take it away"
    clone.shutdown()
    document = boot(clone)
    assert document["node"]["origin"] == "first-boot"
    after = identity(clone)
    assert_whole(after)
    for name in ("machine-id", "hostname", "ssh keys of sshd"):
        assert after[name] != before[name]


def test_cloud_init_clean_does_not_mark_a_member_of_a_cluster(template: Golden, make_clone: MakeClone) -> None:
    clone = make_clone("member", layers=template.layers)
    clone.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\n")
    boot(clone)
    said = clone.run("cloud-init", "clean", "--logs")
    assert "nothing was marked" in said.stdout + said.stderr
    assert not clone.exists(MARK)
