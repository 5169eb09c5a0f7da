"""The bake routes: each is what its tool reads, configures what exists, and seals last."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

from tests.repo.sources import ROOT, run
from tests.repo.test_configuration import KEYS

PACKAGING = ROOT / "packaging"
ROLE = PACKAGING / "ansible/roles/nodeprep"
PACKER = PACKAGING / "packer/nodeprep.pkr.hcl"
SEED = PACKAGING / "packer/seed"
MKOSI = PACKAGING / "mkosi"
DROP_INS = "/etc/nodeprep/nodeprep.toml.d/"
# ansible-core's own: whoever has Ansible has them.
MODULES = {"apt", "command", "copy", "template"}
# Of a task, beside its module.
KEYWORDS = {"name", "when", "register", "changed_when", "no_log"}
# Of cloud-init's schema, version 22.4.
CLOUD_CONFIG = {"write_files", "runcmd"}
WRITTEN = {"path", "permissions", "content"}


def is_configuration(text: str) -> bool:
    """Whether a text is TOML of which nodeprep knows every key."""
    settings = tomllib.loads(text)
    return bool(settings) and all(set(keys) <= KEYS.get(table, set()) for table, keys in settings.items())


def cloud_config(name: str) -> dict[str, Any]:
    """Return user data as cloud-init reads it."""
    text = (PACKAGING / "cloud-init" / name).read_text()
    assert text.startswith("#cloud-config\n")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@pytest.mark.parametrize("name", ["bake.yaml", "clone.yaml"])
def test_user_data_writes_drop_ins_that_can_be_used(name: str) -> None:
    document = cloud_config(name)
    assert set(document) <= CLOUD_CONFIG
    for file in document["write_files"]:
        assert set(file) <= WRITTEN
        assert Path(file["path"]).match(f"{DROP_INS}*.toml")
        assert is_configuration(file["content"])


def test_user_data_seals_once_cloud_init_is_through() -> None:
    last = cloud_config("bake.yaml")["runcmd"][-1]
    assert last[0] == "systemd-run" and "--property=After=cloud-final.service" in last
    assert last[-3:] == ["nodeprep", "seal", "--poweroff"]


def test_the_role_needs_nothing_but_ansible_core() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/main.yml").read_text())
    for task in tasks:
        (module,) = set(task) - KEYWORDS
        assert module.removeprefix("ansible.builtin.") in MODULES and module.startswith("ansible.builtin."), task
    assert "nodeprep seal" in tasks[-1]["ansible.builtin.command"]


def test_the_role_has_a_default_for_each_of_its_variables() -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    texts = [(ROLE / path).read_text() for path in ("tasks/main.yml", "templates/site.toml.j2")]
    tasks = yaml.safe_load(texts[0])
    registered = {task["register"] for task in tasks if "register" in task}
    used = {word for text in texts for word in re.findall(r"\bnodeprep_\w+", text)} - registered
    assert used == set(defaults)
    assert {table: set(keys) for table, keys in defaults["nodeprep_configuration"].items()} == {"node": {"roles"}}


def test_the_playbook_names_the_role_and_seals() -> None:
    (play,) = yaml.safe_load((PACKAGING / "ansible/bake.yml").read_text())
    (role,) = play["roles"]
    assert role["role"] == ROLE.name and role["nodeprep_seal"] is True
    assert all(set(keys) <= KEYS[table] for table, keys in role["nodeprep_configuration"].items())


def hcl(path: Path) -> dict[str, Any]:
    """Return a file as Packer's language has it."""
    with path.open() as file:
        document: dict[str, Any] = hcl2.load(file)
    return document


def test_the_packer_template_seals_when_it_shuts_down() -> None:
    template = hcl(PACKER)
    for block in ("variable", "source", "build"):
        assert template[block]
    # Releases of the library differ in whether they keep the quotes.
    assert "nodeprep seal --poweroff" in str(template).replace('"', "")
    used = set(re.findall(r"\bvar\.(\w+)", PACKER.read_text()))
    assert used == set(re.findall(r'(?m)^variable "(\w+)"', PACKER.read_text()))


def test_what_an_old_packer_cannot_read_is_in_a_file_that_it_is_not_given() -> None:
    assert not {"packer", "cd_content"} & set(re.findall(r"\w+(?= *[{=])", PACKER.read_text()))
    assert "github.com/hashicorp/qemu" in str(hcl(PACKER.with_name("plugins.pkr.hcl"))["packer"])


def test_the_seed_for_packer_lets_nobody_in_but_the_key_beside_it() -> None:
    on_the_cd = set(re.findall(r'"(packaging/packer/seed/.+)"', PACKER.read_text()))
    assert {ROOT / path for path in on_the_cd} == set(SEED.iterdir())
    assert '"${var.key}.pub"' in PACKER.read_text()
    user_data = (SEED / "user-data").read_text()
    assert user_data.startswith("#cloud-config\n")
    assert set(yaml.safe_load(user_data)) == {"disable_root", "bootcmd"}


def test_the_seed_for_packer_configures_links_by_their_names() -> None:
    links = yaml.safe_load((SEED / "network-config").read_text())["ethernets"]
    assert [set(link["match"]) for link in links.values()] == [{"name"}]


@pytest.mark.parametrize("path", [PACKAGING / "packer/site.toml", *MKOSI.glob(f"mkosi.extra{DROP_INS}*.toml")])
def test_what_goes_into_the_image_can_be_used(path: Path) -> None:
    assert is_configuration(path.read_text())


def test_mkosi_finds_package_drop_in_and_script() -> None:
    configuration = (MKOSI / "mkosi.conf").read_text()
    assert "\n    nodeprep\n" in configuration
    (folder,) = re.findall(r"(?m)^PackageDirectories=(.+)$", configuration)
    assert (MKOSI / folder).resolve() == ROOT / "dist"
    assert list(MKOSI.glob(f"mkosi.extra{DROP_INS}*.toml"))


@pytest.mark.parametrize("script", [PACKAGING / "chroot/bake", MKOSI / "mkosi.finalize.chroot"], ids=lambda p: p.name)
def test_scripts_parse_can_be_run_and_end_with_a_check(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    assert run("sh", "-n", script).stdout == ""
    commands = [line.removeprefix("inside ") for line in script.read_text().splitlines() if line]
    assert commands[-2:] == ["nodeprep seal", "nodeprep seal --check"]
