"""`nodeprep config`: what is in force and who said so; of a machine, or of an image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomllib as toml

from nodeprep import cli
from nodeprep.config import FILE, Config
from nodeprep.verbs.config import rows_of
from tests.fakes.disk import put
from tests.fakes.sheets import FOLDER

SHIPPED = Path(__file__).parents[3] / "config/nodeprep.toml"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    for path in FOLDER.iterdir():
        put(tmp_path, f"/usr/share/nodeprep/roles.d/{path.name}", path.read_bytes())
    put(tmp_path, FILE, b'[address]\non_conflict = "pool"\npool = ["10.77.0.100-10.77.0.199"]\n')
    put(tmp_path, "/etc/nodeprep/nodeprep.toml.d/roles.toml", b'[node]\nroles = ["etcd"]\n')
    return tmp_path


def test_a_good_one_is_said_to_be_good(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config", "check", "--root", str(image)]) == 0
    assert capsys.readouterr().out == "good: 3 keys are set, the others are at their defaults; roles: etcd\n"


def test_every_key_is_shown_with_who_set_it(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config", "show", f"--root={image}"]) == 0
    lines = [line.split("  # ") for line in capsys.readouterr().out.splitlines()]
    shown = {left.rstrip(): origin for left, origin in lines}
    assert shown['node.roles = ["etcd"]'] == "/etc/nodeprep/nodeprep.toml.d/roles.toml"
    assert shown['address.pool = ["10.77.0.100-10.77.0.199"]'] == FILE
    assert shown['mac.on_conflict = "renew"'] == "default"


def test_what_is_shown_is_toml_and_all_that_the_shipped_file_has(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["config", "show", f"--root={image}"]) == 0
    told = toml.loads(capsys.readouterr().out)
    shipped = toml.loads(
        "\n".join(line[1:] if line.startswith("#") and " = " in line and line[1] != " " else line
                  for line in SHIPPED.read_text().splitlines() if not line.startswith("# "))
    )  # fmt: skip
    assert {table: set(keys) for table, keys in told.items()} == {table: set(keys) for table, keys in shipped.items()}


def test_a_program_reads_the_same(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config", "show", "--json", f"--root={image}"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert {"key": "address.on_conflict", "value": "pool", "origin": FILE} in document["keys"]
    assert {"key": "mac.on_conflict", "value": "renew", "origin": ""} in document["keys"]
    assert len(document["keys"]) == len(rows_of(Config()))


@pytest.mark.parametrize("word", ["check", "show"])
@pytest.mark.parametrize(
    ("text", "said"),
    [(b"[node]\nrole = 1\n", "node.role"), (b'[node]\nroles = ["wroker"]\n', "did you mean 'worker'"), (b"[", FILE)],
)
def test_a_bad_one_is_named_with_file_key_and_remedy(
    image: Path, capsys: pytest.CaptureFixture[str], word: str, text: bytes, said: str
) -> None:
    put(image, "/etc/nodeprep/nodeprep.toml.d/zz.toml", text if said != FILE else b"")
    if said == FILE:
        put(image, FILE, text)
    assert cli.run(["config", word, "--root", str(image)]) == 1
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config", "show", "--root", str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err
