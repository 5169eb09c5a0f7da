"""etcd: the one door to it, over HTTP(S) to its JSON gateway. Every call ends, within a bounded time and size.

Blocking: it is called in a worker thread, one call at a time. What may pass by itself (nobody there, no leader, a
member that is slow) is "away"; what somebody has to mend (TLS, users, permissions, another program behind the port) is
"refused". The other members are asked in either case.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from threading import Lock, Timer
from typing import Any
from urllib.parse import urlsplit

from nodeprep.errors import RegistryError, away, refused
from nodeprep.registry.gateway import AUTHENTICATE, TXN, Answer, Txn, decode, encode

CALL_S = 5.0
"""The longest that one member is waited for, from the connection to the last byte of its answer."""
ANSWER_MAX_BYTES = 1 << 20
SHOWN_MAX = 160
PORT = 2379
"""Of clients (IANA)."""
TRANSIENT = (408, 429, 500, 502, 503, 504)
UNAUTHENTICATED = 401


@dataclass(frozen=True, slots=True)
class Credentials:
    """By what this machine and etcd know each other: paths of PEM files, and a user of etcd's own."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password_file: str = ""


class Etcd:
    """The members of one etcd, as URLs. The files that credentials name are read when they are needed first."""

    def __init__(self, members: Sequence[str], credentials: Credentials = Credentials()) -> None:
        self._members = list(members)
        self._credentials = credentials
        self._tls: ssl.SSLContext | None = None
        self._connection: HTTPConnection | None = None
        self._token = ""
        self._lock = Lock()
        self._is_stale = False

    @property
    def member(self) -> str:
        """The member that answered last, or will be asked first."""
        return self._members[0]

    def commit(self, txn: Txn) -> Answer:
        """Carry out a transaction. Raises RegistryError; where that says "away" it may have been carried out."""
        try:
            return decode(self._call(TXN, encode(txn)))
        except ValueError as error:
            raise refused(f"{self.member}: {error}") from error

    def hang_up(self) -> None:
        """Dial anew for the next call: this machine's address has changed, and the connection may lead nowhere."""
        self._is_stale = True

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the members in turn, beginning with the one that answered last."""
        with self._lock:
            if self._is_stale:
                self._is_stale = False
                self.close()
            first: RegistryError | None = None
            for _ in self._members:
                try:
                    return self._ask_as_user(path, body)
                except RegistryError as error:
                    self.close()
                    self._token = ""
                    self._members.append(self._members.pop(0))
                    if first is None or (first.code == "registry-away" and error.code != first.code):
                        first = error
            assert first is not None
            raise first

    def _ask_as_user(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask, with a token where there is a user; one that has run out is replaced once."""
        for is_last in (False, True):
            if self._credentials.user and not self._token:
                self._token = self._authenticate()
            status, answer = self._ask(path, body)
            if status == UNAUTHENTICATED and self._credentials.user and not is_last:
                self._token = ""
                continue
            return self._judged(status, answer)
        raise AssertionError("unreachable")

    def _authenticate(self) -> str:
        path = self._credentials.password_file
        try:
            with open(path, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise refused(f"registry.password_file: {path}: {error}") from error
        name = {"name": self._credentials.user, "password": password}
        status, answer = self._ask(AUTHENTICATE, name)
        token = self._judged(status, answer).get("token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise refused(f"{self.member}: no token for the user {self._credentials.user}")
        return token

    def _judged(self, status: int, answer: bytes) -> dict[str, Any]:
        """Return the document of an answer."""
        try:
            document = json.loads(answer)
        except (ValueError, RecursionError):
            document = None
        if status == 200 and isinstance(document, dict):
            return document
        told = document.get("message") or document.get("error") if isinstance(document, dict) else None
        text = str(told or answer[:SHOWN_MAX].decode("utf-8", "replace"))
        shown = "".join(c if c.isprintable() else " " for c in text)
        if status == 200:
            raise refused(f"{self.member}: no answer of etcd: {shown[:SHOWN_MAX]}")
        kind = away if status in TRANSIENT else refused
        raise kind(f"{self.member}: HTTP {status}: {shown[:SHOWN_MAX]}")

    def _ask(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Send a request and return status and body; once more where a connection that was kept has gone."""
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": self._token} if self._token else {})
        if self._connection is not None:
            try:
                return self._exchange(path, content, headers)
            except RegistryError as error:
                if error.code != "registry-away":
                    raise
        return self._exchange(path, content, headers)

    def _exchange(self, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send and receive, and cut the connection off when the time is over, however the bytes drip in."""
        until_s = time.monotonic() + CALL_S
        try:
            connection = self._connection = self._connection or self._dial()
            cut = Timer(max(until_s - time.monotonic(), 0.01), _cut, (connection.sock,))
            cut.daemon = True
            cut.start()
            try:
                if isinstance(connection.sock, ssl.SSLSocket) and connection.sock.version() is None:
                    connection.sock.do_handshake()
                connection.request("POST", path, content, headers)
                response = connection.getresponse()
                answer = _bounded(response, self.member)
            finally:
                cut.cancel()
            if response.will_close:
                self.close()
            return response.status, answer
        except (OSError, HTTPException) as error:  # what ssl raises is an OSError
            self.close()
            if time.monotonic() >= until_s or isinstance(error, TimeoutError):
                raise away(f"{self.member}: no whole answer within {CALL_S:g} s") from error
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise refused(f"{self.member}: TLS: {error}") from error
            if isinstance(error, HTTPException) and not isinstance(error, (OSError, IncompleteRead)):
                raise refused(f"{self.member}: no HTTP: {error!r}"[: 2 * SHOWN_MAX]) from error
            raise away(f"{self.member}: {str(error) or repr(error)}") from error

    def _dial(self) -> HTTPConnection:
        """Connect; the handshake of TLS is left to when the clock runs."""
        parts = urlsplit(self.member)
        host, port = parts.hostname or "", parts.port or PORT
        connection = HTTPConnection(host, port, timeout=CALL_S)
        connection.connect()
        if parts.scheme == "https":
            self._tls = self._tls or _context(self._credentials)
            connection.sock = self._tls.wrap_socket(
                connection.sock, server_hostname=host, do_handshake_on_connect=False
            )
        return connection


def _context(credentials: Credentials) -> ssl.SSLContext:
    """Return what is trusted, and by what we are known. Raises RegistryError."""
    try:
        context = ssl.create_default_context(cafile=credentials.ca or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is one
        raise refused(f"registry.ca: {credentials.ca}: {error}") from error
    if credentials.cert:
        try:
            context.load_cert_chain(credentials.cert, credentials.key or None, password="")
        except (OSError, ValueError) as error:
            raise refused(f"registry.cert, registry.key: {credentials.cert}: {error}") from error
    return context


def _bounded(response: HTTPResponse, member: str) -> bytes:
    """Return the body of an answer, unless it is too long. Raises RegistryError."""
    answer = response.read(ANSWER_MAX_BYTES + 1)
    if len(answer) > ANSWER_MAX_BYTES:
        response.close()
        raise refused(f"{member}: an answer of more than {ANSWER_MAX_BYTES} bytes")
    if response.length:  # read() with a number says nothing of it
        raise IncompleteRead(answer, response.length)
    return answer


def _cut(connected: socket.socket) -> None:
    try:
        socket.socket.shutdown(connected, socket.SHUT_RDWR)  # not as TLS would: its state is another thread's
    except OSError:
        pass  # it was over just then
