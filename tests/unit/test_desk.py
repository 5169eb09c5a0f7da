"""The desk: what of the registry's news the daemon has told already."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from nodeprep.config import Config, Registry
from nodeprep.desk import Desk
from nodeprep.host.local import LocalMachine
from nodeprep.report import Problem
from nodeprep.settle import Settler

KEY = bytes(range(32))
SETTINGS = Config(registry=Registry(etcd=("http://127.0.0.1:1",)))
AWAY = (("registry-away", "nobody there"),)


def made(tmp_path: Path) -> Desk:
    return Desk(LocalMachine("test", str(tmp_path)), lambda: None)


def test_a_registry_that_comes_back_before_the_first_look_is_news(tmp_path: Path) -> None:
    async def follow() -> None:
        desk = made(tmp_path)
        registrar = desk.follow(SETTINGS, (KEY,))
        assert registrar
        registrar.troubles = AWAY
        assert desk.problems == [Problem("registry-away", "registry", "nobody there")]
        desk.judged([], Settler(None, print), SETTINGS)  # type: ignore[arg-type]
        assert not desk.is_new()
        registrar.troubles = ()
        assert desk.is_new()
        assert not desk.is_new()

    asyncio.run(follow())


def test_the_registrar_stays_until_the_configuration_or_the_key_changes(tmp_path: Path) -> None:
    async def follow() -> None:
        desk = made(tmp_path)
        first = desk.follow(SETTINGS, (KEY,))
        assert desk.follow(SETTINGS, (KEY,)) is first
        assert desk.follow(SETTINGS, (KEY[::-1], KEY)) is not first
        assert desk.follow(Config(), (KEY,)) is None
        assert desk.problems == []

    asyncio.run(follow())


def test_that_no_number_is_free_is_a_problem_of_the_hostname(tmp_path: Path) -> None:
    settler = Settler(None, print, is_numberless=True)  # type: ignore[arg-type]
    (problem,) = made(tmp_path).judged([], settler, Config())
    assert (problem.code, problem.subject) == ("no-number", "hostname")


def test_a_node_without_a_registry_loads_nothing_that_speaks_to_one() -> None:
    code = "import sys; import nodeprep.daemon; print(*(name for name in sys.modules if name.startswith('nodeprep')))"
    loaded = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True).stdout.split()
    assert "nodeprep.desk" in loaded
    assert not {"nodeprep.registrar", "nodeprep.incumbent", "nodeprep.host.registry.etcd"} & set(loaded)
