"""The manual pages, as man(1) and groff(1) read them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.repo.sources import ROOT
from tests.repo.test_configuration import KEYS

PAGES = sorted((ROOT / "packaging/man").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.parametrize("command", [("man", "--warnings", "-l"), ("groff", "-ww", "-t", "-man", "-Tutf8")])
def test_it_is_set_without_a_warning(page: Path, command: tuple[str, ...]) -> None:
    environment = os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat"}
    said = subprocess.run([*command, page], env=environment, capture_output=True, text=True, check=True)
    assert said.stderr == ""


def test_it_has_every_key_of_the_configuration() -> None:
    page = (ROOT / "packaging/man/nodeprep.toml.5").read_text()
    for table, keys in KEYS.items():
        section = page.split(f'.SH "[{table}]"\n')[1].split("\n.SH")[0]
        assert set(re.findall(r'(?m)^\.BR (\w+) " = ', section)) == keys
