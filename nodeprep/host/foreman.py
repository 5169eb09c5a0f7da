"""Foreman: has a worker do what needs the bus, netlink and the firewalls, and lets it go once there is nothing to do.

The libraries for these take more memory than all else of a daemon together, and a node that is ready needs them only
when something changes. So they live in a process of their own (`nodeprep.host.worker`). The first is forked, as long as
there are neither threads nor a loop that would be forked with it, so that a boot pays once for what both need; the next
ones are started by the first question after the last was let go, or has died. Questions and answers are pickles, which
both ends may trust: they are the same program, with the same rights, over a pair of sockets that nobody else has.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.local import LocalMachine
from nodeprep.model import Link, Opening, Profile
from nodeprep.steps import SetProfile

ANSWER_TIMEOUT_S = 150.0
"""Longer than the longest of its own bounds (live.SEARCH_TIMEOUT_S): past it a worker hangs, and is ended."""
LEAVE_TIMEOUT_S, POLL_S = 2.0, 0.05
PROGRAM = "import sys; sys.path[:] = {path!r}; from nodeprep.host.worker import main; main({channel})"

Seen = tuple[tuple[Link, ...], tuple[Profile, ...], str, frozenset[str]]
"""Links, profiles, static hostname, and the paths of the files that were read for it."""


class Foreman:
    """`Live` in another process: the same methods, of which the plain ones are what a worker thread calls."""

    def __init__(self, *, forks: bool = False) -> None:
        """Have a worker started, which takes a moment, while nobody asks anything yet.

        forks: this process has no other thread and no event loop yet.
        """
        self._only_links: tuple[str, ...] = ()
        self._memory = b""
        """What the next worker has to know of the last one's work."""
        self._turn = threading.Lock()
        self._changes = False
        self._process: _Forked | subprocess.Popen[bytes] | None = None
        self._is_taught = False
        self._channel: socket.socket | None = self._start(forks=forks)
        self.read: frozenset[str] = frozenset()
        """The paths of the files that the last view was made of."""

    # What the event loop awaits

    async def look_at(self, only_links: tuple[str, ...]) -> None:
        """Take these links for the machine's, or, where none is named, those that are its hardware."""
        if only_links != self._only_links:
            self._only_links = only_links
            if self._is_taught:
                await self.rest()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the managers have finished what they start at boot; see `Live`. Raises HostError."""
        settled: bool = await self._ask("settled", timeout_s)
        return settled

    async def view(self, run: str) -> LocalMachine:
        """Return the machine as it is now. Raises HostError."""
        seen: Seen = await self._ask("seen", run)
        links, profiles, hostname, self.read = seen
        return LocalMachine(run, links=links, profiles=profiles, hostname=hostname, managers=self)

    async def machine_ids(self) -> dict[str, str]:
        """Return who gives which machine ID, of the services on the bus that run and answer. Raises HostError."""
        given: dict[str, str] = await self._ask("machine_ids")
        return given

    async def holders(self, machine_id: str) -> tuple[str, ...]:
        """Return "PID NAME" of each process that holds the ID in its memory. Raises HostError."""
        found: tuple[str, ...] = await self._ask("holders", machine_id)
        return found

    async def start_ready(self) -> None:
        """Start the ready target, and what requires it and is wanted but was not started. Raises HostError."""
        await self._ask("start_ready")

    async def firewall(self, openings: tuple[Opening, ...], mode: str) -> tuple[str, list[str], list[str]]:
        """Return the firewall that is driven, what may close these openings, and what else is to be said of it."""
        found: tuple[str, list[str], list[str]] = await self._ask("firewall", openings, mode)
        return found

    async def rest(self) -> None:
        """Let the worker go. What it has to remember is kept for the next one."""
        await asyncio.to_thread(self._rest)

    # What a worker thread calls

    def set_hostname(self, hostname: str) -> None:
        """Set the hostname through hostnamed. Raises HostError."""
        self._change("set_hostname", hostname)

    def set_profile(self, change: SetProfile) -> None:
        """Change a profile through its manager, activate it, and put it back if it does not carry. Raises HostError."""
        self._change("set_profile", change)

    def set_link_mac(self, link: str, mac: str) -> None:
        """Set the MAC of a link without a profile. Raises HostError."""
        self._change("set_link_mac", link, mac)

    def apply_openings(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None:
        """Make the openings in that firewall, unless they are as they should be. Raises HostError."""
        self._change("apply_openings", openings, mode, backend)

    def leave(self) -> None:
        """Give up what is asked just now, so that nobody waits for it; a change that has begun comes to its end."""
        if self._process and not self._changes:
            self._process.kill()

    # The worker

    async def _ask(self, name: str, *words: object) -> Any:
        return await asyncio.to_thread(self._call, name, *words)

    def _change(self, name: str, *words: object) -> None:
        self._call(name, *words, changes=True)

    def _call(self, name: str, *words: object, changes: bool = False) -> Any:
        with self._turn:
            self._changes = changes
            try:
                is_done, answer = self._answer(name, words)
            except (OSError, EOFError, pickle.UnpicklingError) as error:
                self._end()
                raise HostError(f"{name}: the worker has gone: {str(error) or 'see the journal'}") from error
            finally:
                self._changes = False
        if not is_done:
            raise answer
        return answer

    def _answer(self, name: str, words: tuple[object, ...]) -> tuple[bool, Any]:
        channel = self._channel = self._channel or self._start()
        if not self._is_taught:
            send(channel, (self._only_links, self._memory))
            self._is_taught = True
        send(channel, (name, words))
        answer: tuple[bool, Any] = receive(channel)
        return answer

    def _start(self, *, forks: bool = False) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(ANSWER_TIMEOUT_S)
        with theirs:
            self._process = _Forked(ours, theirs) if forks else _started(theirs)
        self._is_taught = False
        return ours

    def _rest(self) -> None:
        with self._turn:
            if self._channel is None:
                return
            try:
                _, self._memory = self._answer("remembered", ())
            except (OSError, EOFError, pickle.UnpicklingError):
                pass  # then the next one finds out by itself
            self._end()

    def _end(self) -> None:
        """Hang up, upon which the worker leaves; one that does not is ended."""
        channel, process, self._channel, self._process = self._channel, self._process, None, None
        if channel:
            channel.close()
        if process:
            try:
                process.wait(LEAVE_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Forked:
    """A worker that shares what is loaded already; as far as it is used here, a Popen."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            try:
                ours.close()
                from nodeprep.host.worker import main  # noqa: PLC0415 (what only a worker loads)

                main(theirs.detach())
                os._exit(0)
            except BaseException:  # noqa: BLE001 (whatever it is, it must not go on as the foreman)
                traceback.print_exc()
                os._exit(1)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while os.waitpid(self._pid, 0 if deadline is None else os.WNOHANG)[0] == 0:
            if deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
            time.sleep(POLL_S)


def _started(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start a worker of its own from the beginning."""
    program = PROGRAM.format(path=sys.path, channel=theirs.fileno())
    argv = (sys.executable, "-I", "-S", "-c", program)
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))


def send(channel: socket.socket, message: object) -> None:
    """Send a message whole. Raises OSError."""
    content = pickle.dumps(message)
    channel.sendall(len(content).to_bytes(4, "big") + content)


def receive(channel: socket.socket) -> Any:
    """Return the next message. Raises OSError, EOFError where the other end has gone, or pickle's own errors."""
    return pickle.loads(_exactly(channel, int.from_bytes(_exactly(channel, 4), "big")))  # noqa: S301 (our own process)


def _exactly(channel: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        more = channel.recv(length - len(content))
        if not more:
            raise EOFError
        content += more
    return content
