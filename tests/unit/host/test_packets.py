"""Packet sockets: made where that is allowed, and had through the door where it is not."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprep.host import packets

REPOSITORY = Path(__file__).parents[3]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="packet sockets need root")
# As systemd starts it: the listening socket is descriptor 3.
PROGRAM = "import os, sys; os.dup2(int(sys.argv[1]), 3); from nodeprep.host import packets; {}; packets.main()"
REFUSING = "import errno\ndef refuse(kind): raise OSError(errno.EPERM, 'no')\npackets.made = refuse"


@pytest.fixture
def confined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return where the door is, for a process that may make no packet socket."""

    def refuse(kind: int) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(packets, "made", refuse)
    monkeypatch.setattr(packets, "DOOR", str(tmp_path / "door"))
    monkeypatch.setattr(packets, "TIMEOUT_S", 10.0)
    return tmp_path / "door"


@pytest.fixture
def door(confined: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Have the program answer behind the door."""
    program = PROGRAM.format("pass")
    if extra := getattr(request, "param", ""):
        program = program.replace("; pass; ", f"\n{extra}\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(confined))
        listener.listen()
        number = listener.fileno()
        with subprocess.Popen((sys.executable, "-c", program, str(number)), cwd=REPOSITORY, pass_fds=(number,)) as one:
            yield confined
            one.kill()


@needs_root
@pytest.mark.parametrize("kind", [socket.SOCK_RAW, socket.SOCK_DGRAM])
def test_who_is_not_confined_makes_it_without_the_door(
    kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packets, "DOOR", "/nowhere")
    with packets.opened(kind) as made:
        assert (made.family, made.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)) == (socket.AF_PACKET, kind)
        assert made.getsockname()[1] == 0, "it hears nothing yet"


@needs_root
@pytest.mark.parametrize("kind", [socket.SOCK_RAW, socket.SOCK_DGRAM])
def test_who_is_confined_has_it_through_the_door_and_can_use_it(door: Path, kind: socket.SocketKind) -> None:
    for _ in range(2):
        with packets.opened(kind) as had:
            assert had.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == kind
            assert not os.get_inheritable(had.fileno())
            had.bind(("lo", 0x88B5))
            assert had.getsockname()[:2] == ("lo", 0x88B5)


@needs_root
def test_who_goes_away_or_asks_for_something_else_leaves_the_door_open(door: Path) -> None:
    for word in (b"", b"x"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
            asker.connect(str(door))
            if word:
                asker.send(word)
                assert asker.recv(1) == b""
    packets.opened(socket.SOCK_RAW).close()


@pytest.mark.parametrize("door", [REFUSING], indirect=True)
def test_what_is_refused_behind_the_door_is_refused_with_the_reason(door: Path) -> None:
    with pytest.raises(OSError, match="Operation not permitted"):
        packets.opened(socket.SOCK_RAW)


def test_who_makes_them_leaves_when_nobody_asks(confined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "IDLE_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(confined))
        listener.listen()
        monkeypatch.setattr(packets, "LISTENER", os.dup(listener.fileno()))
        assert packets.main() == 0


def test_without_a_door_there_is_none_to_be_had(confined: Path) -> None:
    with pytest.raises(OSError, match=r"none to be had: .*/door: No such file"):
        packets.opened(socket.SOCK_RAW)


def test_nobody_waits_for_ever_before_a_door_that_stays_shut(confined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "TIMEOUT_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(confined))
        listener.listen()
        with pytest.raises(OSError, match="timed out"):
            packets.opened(socket.SOCK_RAW)


def test_another_fault_than_the_sandboxs_goes_to_no_door(confined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(packets, "made", refuse)
    with pytest.raises(PermissionError):
        packets.opened(socket.SOCK_RAW)


def test_the_units_agree_with_the_program() -> None:
    assert f"ListenSequentialPacket={packets.DOOR}\n" in (REPOSITORY / "units/nodeprep-packets.socket").read_text()
    unit = (REPOSITORY / "units/nodeprep-packets.service").read_text()
    assert "from nodeprep.host.packets import main" in unit
