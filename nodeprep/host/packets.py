"""Packet sockets (packet(7)), and the door by which the daemon has them.

Its sandbox lets the daemon, which changes files as root, make none: nodeprep-packets.service makes them, may do nothing
else, and hands each through a socket that only root can reach. Whoever is not confined makes them itself.
"""

from __future__ import annotations

import errno
import os
import socket

DOOR = "/run/nodeprep/packets.socket"
KINDS = {b"d": socket.SOCK_DGRAM, b"r": socket.SOCK_RAW}
TIMEOUT_S = 15.0
"""The unit behind the door is started when the first knocks, on a machine that is still booting."""
ASKING_TIMEOUT_S = 1.0
IDLE_S = 10.0
LISTENER = 3
"""The descriptor of the first socket that systemd passes on (sd_listen_fds(3))."""


def opened(kind: int) -> socket.socket:
    """Return a packet socket, SOCK_RAW or SOCK_DGRAM, that hears nothing until it is bound. Raises OSError."""
    try:
        return made(kind)
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise
    try:
        return asked_for(kind)
    except OSError as error:
        raise OSError(errno.EAFNOSUPPORT, f"none to be had: {DOOR}: {error.strerror or error}") from error


def made(kind: int) -> socket.socket:
    """Return a packet socket of our own. Raises OSError."""
    return socket.socket(socket.AF_PACKET, kind | socket.SOCK_CLOEXEC, 0)


def asked_for(kind: int) -> socket.socket:
    """Return a packet socket that was made behind the door. Raises OSError."""
    word = next(word for word, meant in KINDS.items() if meant == kind)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.settimeout(TIMEOUT_S)
        door.connect(DOOR)
        door.send(word)
        answer, descriptors, _, _ = socket.recv_fds(door, 1, 1)
    if not descriptors:
        code = answer[0] if answer else errno.ECONNRESET
        raise OSError(code, os.strerror(code))
    os.set_inheritable(descriptors[0], False)
    return socket.socket(socket.AF_PACKET, kind, 0, fileno=descriptors[0])


def main() -> int:
    """Hand out packet sockets until nobody asks any more; who asks later has systemd start us again."""
    with socket.socket(fileno=LISTENER) as listener:
        listener.settimeout(IDLE_S)
        while True:
            try:
                asker, _ = listener.accept()
            except TimeoutError:
                return 0
            with asker:
                try:
                    asker.settimeout(ASKING_TIMEOUT_S)
                    answer(asker)
                except OSError:
                    continue  # who asked is gone


def answer(asker: socket.socket) -> None:
    """Send one packet socket of the kind that is asked for, or why there is none. Raises OSError."""
    kind = KINDS.get(asker.recv(1))
    if kind is None:
        return
    try:
        made_one = made(kind)
    except OSError as error:
        asker.send(bytes([error.errno or errno.EIO]))
        return
    with made_one:
        socket.send_fds(asker, [b"\0"], [made_one.fileno()])
