"""The foreman and a worker: in a process of its own, with the libraries that he himself does without."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import foreman as module
from nodeprep.host.foreman import Foreman
from nodeprep.steps import SetProfile

WORKER = """
import os, pickle, socket, sys, time
sys.path[:] = {path!r}
from nodeprep.errors import HostError
from nodeprep.host.foreman import receive, send
channel = socket.socket(fileno={channel})
only_links, memory = receive(channel)
while True:
    try:
        name, words = receive(channel)
    except EOFError:
        sys.exit()
    if name == "links":
        send(channel, (True, (os.getpid(), only_links, memory)))
    elif name == "remembered":
        send(channel, (True, memory + b"+"))
    elif name == "machine_ids":
        send(channel, (False, HostError("nobody gives any")))
    elif name == "start_ready":
        os._exit(1)
    elif name == "settled":
        time.sleep(words[0])
        send(channel, (True, True))
    elif name == "set_profile":
        time.sleep(0.5)
        send(channel, (True, None))
"""


@pytest.fixture
def boss(monkeypatch: pytest.MonkeyPatch) -> Iterator[Foreman]:
    monkeypatch.setattr(module, "PROGRAM", WORKER)
    foreman = Foreman()
    yield foreman
    asyncio.run(foreman.rest())
    assert foreman._process is None


def asked(foreman: Foreman) -> Any:
    return asyncio.run(foreman._ask("links"))


def test_the_next_worker_knows_what_the_last_one_remembered(boss: Foreman) -> None:
    pid, links, memory = asked(boss)
    assert asked(boss) == (pid, links, memory) == (pid, (), b"")
    asyncio.run(boss.rest())
    asyncio.run(boss.rest())
    other, _, memory = asked(boss)
    assert other != pid
    assert memory == b"+"


def test_a_worker_looks_at_the_links_that_are_named(boss: Foreman) -> None:
    asyncio.run(boss.look_at(("eth1",)))
    pid, links, _ = asked(boss)
    assert links == ("eth1",)
    asyncio.run(boss.look_at(("eth1",)))
    assert asked(boss)[0] == pid
    asyncio.run(boss.look_at(("eth2",)))
    assert asked(boss)[1] == ("eth2",)


def test_what_could_not_be_done_is_said_in_its_words(boss: Foreman) -> None:
    with pytest.raises(HostError, match="nobody gives any"):
        asyncio.run(boss.machine_ids())


def test_after_a_worker_that_died_there_is_another(boss: Foreman) -> None:
    pid = asked(boss)[0]
    with pytest.raises(HostError, match="start_ready: the worker has gone"):
        asyncio.run(boss.start_ready())
    assert asked(boss)[0] != pid


def test_one_that_hangs_is_ended(boss: Foreman, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAVE_TIMEOUT_S", 0.1)
    asked(boss)
    assert boss._channel and isinstance(boss._process, subprocess.Popen)
    boss._channel.settimeout(0.1)
    hanging = boss._process
    with pytest.raises(HostError, match="settled: the worker has gone: timed out"):
        asyncio.run(boss.settled(60))
    assert hanging.returncode is not None


def test_leaving_waits_for_nothing_but_a_change(boss: Foreman) -> None:
    asked(boss)
    faults: list[Exception] = []

    def ask(work: Any) -> None:
        try:
            work()
        except HostError as error:
            faults.append(error)

    begin = time.monotonic()
    waiting = threading.Thread(target=ask, args=(lambda: asyncio.run(boss.settled(60)),))
    waiting.start()
    time.sleep(0.2)
    boss.leave()
    waiting.join(10)
    assert time.monotonic() - begin < 10
    assert len(faults) == 1
    asked(boss)
    changing = threading.Thread(target=ask, args=(lambda: boss.set_profile(SetProfile("uuid", "eth0")),))
    changing.start()
    time.sleep(0.2)
    boss.leave()
    changing.join(10)
    assert len(faults) == 1


FORKING = """
import asyncio, os, socket, subprocess, sys, types
sys.path[:] = {path!r}
from nodeprep.errors import HostError
from nodeprep.host.foreman import Foreman, receive, send

def main(number):
    channel = socket.socket(fileno=number)
    receive(channel)
    while True:
        try:
            name, _ = receive(channel)
        except EOFError:
            return
        if name == "start_ready":
            raise RuntimeError("a fault of the worker's")
        send(channel, (True, b"" if name == "remembered" else os.getpid()))

sys.modules["nodeprep.host.worker"] = worker = types.ModuleType("nodeprep.host.worker")
worker.main = main
foreman = Foreman(forks=True)
subprocess.Popen = None
pid = asyncio.run(foreman._ask("links"))
print(pid == os.getpid(), os.path.exists(f"/proc/{{pid}}"))
{rest}
print(os.path.exists(f"/proc/{{pid}}"))
"""
ENDS = {
    "let go": ("asyncio.run(foreman.rest())", ""),
    "dead": (
        "try: asyncio.run(foreman.start_ready())\nexcept HostError as error: print(error, file=sys.stderr)",
        "a fault of the worker's",
    ),
    "left": ("foreman.leave(); foreman._process.wait()", ""),
}


@pytest.mark.parametrize(("rest", "said"), ENDS.values(), ids=ENDS)
def test_the_first_worker_is_forked_and_leaves_nothing_behind(rest: str, said: str) -> None:
    code = FORKING.format(path=sys.path, rest=rest)
    done = subprocess.run(
        (sys.executable, "-I", "-S", "-c", code), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.stdout.split() == ["False", "True", "False"], done.stderr
    assert said in done.stderr


def test_the_daemon_is_without_what_only_its_worker_needs() -> None:
    code = (
        "import subprocess, sys\n"
        f"sys.path[:] = {sys.path!r}\n"
        "import os\n"
        "os.fork = lambda: 1\n"
        "from nodeprep.verbs import daemon\n"
        "daemon.load()\n"
        "from nodeprep.artefacts import catalogue\n"
        "catalogue()\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run((sys.executable, "-I", "-S", "-c", code), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert {"nodeprep", "asyncio", "structlog", "systemd"} <= loaded
    assert not loaded & {"pyroute2", "dbus_next", "gi", "sqlite3", "ssl", "_ssl", "_hashlib"}
