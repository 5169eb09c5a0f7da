"""A hostile machine: puts frames on a segment at a rate, and hears what is said there. Run in a network namespace.

python -m tests.lab.hostile FRAMES_FILE RATE SECONDS      # lines of hex: source MAC and payload
python -m tests.lab.hostile --hear SECONDS                # prints such lines
"""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nodeprep.peers.message import ETHERTYPE, Message, MessageType, Standing, decode, encode
from tests.lab.lan import LINK, namespace_path

ROOT = Path(__file__).parents[2]
BROADCAST = b"\xff" * 6
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; not in the socket module
HEARD_S = 1800
QUEUE_BYTES = 16 * 1024 * 1024
"""Of what came and was not read yet: a hundred machines that boot leave the recorder little of the processor."""


def noise(recorded: Sequence[bytes], seed: int = 1) -> list[tuple[bytes, bytes]]:
    """Return frames as somebody without the key can make them: replayed, forged, truncated, oversized and random."""
    rng = random.Random(seed)
    frames = []
    for number in range(2000):
        payload = rng.choice(recorded)
        match number % 5:
            case 0:
                made = payload
            case 1:  # another nonce, a stamp from the future, and the MAC that it had
                made = payload[:7] + rng.randbytes(24) + payload[31:]
            case 2:
                made = payload[: rng.randrange(len(payload))]
            case 3:
                made = payload[:5] + (1400).to_bytes(2, "big") + payload[7:] + rng.randbytes(1480 - len(payload))
            case _:
                made = rng.randbytes(rng.randrange(46, 1500))
        frames.append((b"\x02" + rng.randbytes(5), made))
    return frames


def insider(recorded: Sequence[bytes], key: bytes, seed: int = 1) -> list[tuple[bytes, bytes]]:
    """Return conflicts as somebody with the key can make them: ready, with every claim heard, to every nonce heard."""
    rng = random.Random(seed)
    heard = [decode(payload, key) for payload in recorded]
    nonces = frozenset(message.nonce for message in heard)
    claims = frozenset(claim for message in heard for claim in message.claims)
    frames = []
    for number in range(500):
        message = Message(
            MessageType.CONFLICT, rng.randbytes(16), Standing.READY, claims, frozenset(sorted(nonces)[:40]),
            stamp=number,
        )  # fmt: skip
        frames += [(b"\x02" + rng.randbytes(5), payload) for payload in encode(message, key)]
    return frames


@contextmanager
def flood(namespace: str, frames: Sequence[tuple[bytes, bytes]], rate: int, folder: Path) -> Iterator[None]:
    """Send these frames again and again, so many a second, for as long as the context lasts."""
    listing = folder / "frames"
    listing.write_text("".join(f"{mac.hex()} {payload.hex()}\n" for mac, payload in frames))
    with subprocess.Popen(_command(namespace, str(listing), str(rate), "600"), env=_environment()) as process:
        try:
            yield
            assert process.poll() is None, "the flood ended before the test"
        finally:
            process.kill()


@contextmanager
def hearing(namespace: str) -> Iterator[list[bytes]]:
    """Record the payloads that are said on the segment; the list is filled when the context ends."""
    recorded: list[bytes] = []
    # A file: a pipe that nobody reads until the end holds 64 KiB, and what came after that was lost without a word.
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(_command(namespace, "--hear", str(HEARD_S)), stdout=out, env=_environment())
        try:
            yield recorded
        finally:
            assert process.poll() is None, "the recorder ended before what it was to record"
            process.terminate()
            process.wait(timeout=10)
            out.seek(0)
            recorded += [bytes.fromhex(line.split()[1]) for line in out if line.endswith(" .\n")]


def _command(namespace: str, *arguments: str) -> tuple[str, ...]:
    inside = ("nsenter", f"--net={namespace_path(namespace)}")
    return (*inside, sys.executable, "-m", "tests.lab.hostile", *arguments)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _send(frames: Sequence[bytes], rate: int, seconds: float) -> None:
    """Send in turn, in bursts of a hundredth of a second."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap:
        tap.bind((LINK, 0))
        began_s, sent = time.monotonic(), 0
        while (now_s := time.monotonic() - began_s) < seconds:
            while sent < now_s * rate:
                try:
                    tap.send(frames[sent % len(frames)])
                except OSError:
                    pass  # a full queue, as on a wire
                sent += 1
            time.sleep(0.01)


def _hear(seconds: float) -> None:
    until_s = time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) as tap:
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES)
        tap.bind((LINK, ETHERTYPE))
        while time.monotonic() < until_s:
            frame = tap.recv(2048)
            # The full stop tells a whole line from one that was cut off.
            sys.stdout.write(f"{frame[6:12].hex()} {frame[14:].hex()} .\n")


def main() -> None:
    """Send or hear."""
    if sys.argv[1] == "--hear":
        _hear(float(sys.argv[2]))
        return
    rows = [line.split() for line in Path(sys.argv[1]).read_text().splitlines()]
    header = struct.pack(">H", ETHERTYPE)
    frames = [
        (BROADCAST + bytes.fromhex(row[0]) + header + bytes.fromhex(row[1] if len(row) > 1 else ""))[:1514]
        for row in rows
    ]
    _send(frames, int(sys.argv[2]), float(sys.argv[3]))


if __name__ == "__main__":
    main()
