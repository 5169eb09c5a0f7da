"""Naming: what the platform tells of a machine, as a part of its hostname. Templates are in test_config."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeprep import naming
from nodeprep.config import Config, Node
from nodeprep.errors import ConfigError
from nodeprep.host.local import LocalMachine
from tests.fakes import disk


def named_by(serial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    disk.put(tmp_path, "/sys/class/dmi/id/product_serial", f"{serial}\n".encode())
    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path / "sys"))
    machine = LocalMachine("test", str(tmp_path / "disk"))
    return naming.hostname_for(machine, Config(node=Node(hostname="{serial}")), "", [])


@pytest.mark.parametrize(
    ("serial", "name"),
    [
        ("CZ3412ABCD", "cz3412abcd"),
        ("VMware-56 4d 1c 2b 3a 4f 5e 6d-7c 8b 9a 0f 1e 2d 3c 4b", "9a0f1e2d3c4b"),
        ("0123456789-abcdef/0123", "abcdef-0123"),
        ("ec2ab1f0-1234-5678-9abc-def012345678", "def012345678"),
    ],
)
def test_the_end_of_a_serial_number(serial: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_by(serial, tmp_path, monkeypatch) == name


@pytest.mark.parametrize("serial", ["", "   "])
def test_a_machine_without_a_serial_number(serial: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"\{serial\} cannot be told"):
        named_by(serial, tmp_path, monkeypatch)
