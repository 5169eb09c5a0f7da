"""The worker: answers by name, keeps its memory over connections to the bus, and leaves when the foreman hangs up."""

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import worker as module
from nodeprep.host.bus import BusError
from nodeprep.host.foreman import receive, send
from nodeprep.host.live import Memory


class FakeBus:
    made: int = 0
    fault: str = ""

    def __init__(self) -> None:
        self.disconnected = asyncio.Event()

    async def connect(self) -> None:
        if FakeBus.fault:
            raise HostError(FakeBus.fault)
        FakeBus.made += 1


class FakeLive:
    def __init__(self, bus: FakeBus, only_links: tuple[str, ...], memory: Memory) -> None:
        self._bus = bus
        self._only_links = only_links
        self._memory = memory

    async def settled(self, timeout_s: float) -> bool:
        self._memory.is_late = True
        return timeout_s > 1

    async def links(self) -> tuple[str, ...]:
        return self._only_links

    def set_hostname(self, hostname: str) -> None:
        raise BusError("hostnamed", "org.freedesktop.DBus.Error.AccessDenied", f"not {hostname}")

    def set_link_mac(self, link: str, mac: str) -> None:
        self._bus.disconnected.set()


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Bus", FakeBus)
    monkeypatch.setattr(module, "Live", FakeLive)
    FakeBus.made, FakeBus.fault = 0, ""


def talk(questions: list[tuple[str, tuple[Any, ...]]], memory: bytes = b"") -> list[tuple[bool, Any]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = threading.Thread(target=lambda: asyncio.run(module.work(theirs)))
        worker.start()
        send(ours, (("eth7",), memory))
        answers = []
        for question in questions:
            send(ours, question)
            answers.append(receive(ours))
        ours.shutdown(socket.SHUT_RDWR)
        worker.join(10)
        assert not worker.is_alive()
    return answers


def test_it_answers_what_is_awaited_and_what_is_not_over_one_connection() -> None:
    answers = talk([("settled", (20.0,)), ("links", ()), ("set_link_mac", ("eth7", "")), ("links", ())])
    assert answers == [(True, True), (True, ("eth7",)), (True, None), (True, ("eth7",))]
    assert FakeBus.made == 2, "anew once the first had gone"


def test_a_fault_travels_as_its_words() -> None:
    ((is_done, fault),) = talk([("set_hostname", ("worker",))])
    assert not is_done
    assert type(fault) is HostError
    assert str(fault) == "hostnamed: org.freedesktop.DBus.Error.AccessDenied: not worker"


def test_without_a_bus_each_question_says_so() -> None:
    FakeBus.fault = "system bus: no such file"
    answers = talk([("links", ()), ("links", ())])
    assert [(is_done, str(fault)) for is_done, fault in answers] == [(False, FakeBus.fault)] * 2


def test_what_it_remembers_is_the_next_ones_and_outlives_the_bus() -> None:
    (_, _, (is_done, memory)) = talk([("settled", (0.0,)), ("set_link_mac", ("eth7", "")), ("remembered", ())])
    assert is_done
    assert pickle.loads(memory).is_late
    ((_, memory),) = talk([("remembered", ())], memory)
    assert pickle.loads(memory).is_late
