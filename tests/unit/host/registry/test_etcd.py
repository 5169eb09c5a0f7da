"""The door to etcd, against servers that are slow, garbled, huge, refusing or gone: each call ends, and says why."""

from __future__ import annotations

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from nodeprep.errors import RegistryError
from nodeprep.host.registry import etcd
from nodeprep.host.registry.etcd import ANSWER_MAX_BYTES, Credentials, Etcd
from nodeprep.registry.gateway import Absent, Answer, Entry, Get, Put, Txn

Serve = Callable[[socket.socket, bytes], None]
ASK = Txn((Absent("a"),), (Put("a", "1"),), (Get("a"),))
GOOD = {"header": {"revision": "7"}, "succeeded": True, "responses": [{"response_put": {}}]}


def answer(document: object, status: str = "200 OK", more: str = "") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def says(*answers: bytes) -> Serve:
    """Return what gives these answers, one to each request, whatever it is; the last one again and again."""
    left = list(answers)

    def serve(connection: socket.socket, request: bytes) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return serve


class Server:
    """A server on the loopback, in a thread; `requests` are what it was asked."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            while request := _read(connection):
                self.requests.append(request)
                self._serve(connection, request)

    def close(self) -> None:
        self._listener.close()


def _read(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"Content-Length"]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd, "CALL_S", 0.6)


@pytest.fixture
def make() -> Iterator[Callable[[Serve], Server]]:
    with ExitStack() as stack:
        yield lambda serve: stack.enter_context(closing(Server(serve)))


def refusal(door: Etcd, within_s: float = 1.5) -> RegistryError:
    began_s = time.monotonic()
    with pytest.raises(RegistryError) as caught:
        door.commit(ASK)
    assert time.monotonic() - began_s < within_s
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
    return caught.value


Make = Callable[[Serve], Server]


def test_a_transaction_is_sent_as_the_gateway_wants_it_and_its_answer_read(make: Make) -> None:
    row = {"key": "YQ==", "create_revision": "3", "mod_revision": "5", "version": "1", "value": "MQ=="}
    found = {"header": {"revision": "7"}, "responses": [{"response_range": {"kvs": [row], "count": "1"}}]}
    server = make(says(answer(found)))
    assert Etcd([server.url]).commit(ASK) == Answer(False, 7, (Entry("1", 5),))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v3/kv/txn HTTP/1.1\r\n")
    key = b64encode(b"a").decode()
    assert json.loads(body) == {
        "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
        "success": [{"request_put": {"key": key, "value": b64encode(b"1").decode()}}],
        "failure": [{"request_range": {"key": key}}],
    }


def test_one_connection_serves_many_calls_and_one_that_has_gone_is_made_anew(make: Make) -> None:
    server = make(says(answer(GOOD)))
    door = Etcd([server.url])
    for _ in range(3):
        door.commit(ASK)
    assert server.connections == 1
    door.hang_up()
    door.commit(ASK)
    assert server.connections == 2

    def once(connection: socket.socket, request: bytes) -> None:
        connection.sendall(answer(GOOD))
        connection.shutdown(socket.SHUT_RDWR)

    server = make(once)
    door = Etcd([server.url])
    for _ in range(3):
        assert door.commit(ASK).succeeded
    assert server.connections == 3


def drips(text: bytes) -> Serve:
    def serve(connection: socket.socket, request: bytes) -> None:
        for byte in text:
            connection.sendall(bytes((byte,)))
            time.sleep(0.2)

    return serve


def silent(connection: socket.socket, request: bytes) -> None:
    time.sleep(5)


def endless(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_header(connection: socket.socket, request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Padding: " + b"x" * 1000 + b"\r\n")


SLOW: dict[str, Serve] = {
    "says nothing": silent,
    "drips its header": drips(answer(GOOD)),
    "drips its body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b" " * 100),
    "hangs up": lambda connection, request: connection.close(),
    "hangs up in its answer": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"),
    "has no leader": says(answer({"error": "etcdserver: no leader", "code": 14}, "503 Service Unavailable")),
    "is out of breath": says(answer({"error": "too many requests", "code": 8}, "429 Too Many Requests")),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_member_that_may_answer_later(make: Make, kind: str) -> None:
    def serve(connection: socket.socket, request: bytes) -> None:
        SLOW[kind](connection, request)
        connection.close()

    assert refusal(Etcd([make(serve).url])).code == "registry-away"


def test_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    assert refusal(Etcd([url])).code == "registry-away"


def test_no_such_host() -> None:
    assert refusal(Etcd(["http://etcd.invalid"]), 10).code == "registry-away"


WRONG: dict[str, Serve] = {
    "another program": says(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "a web page": says(answer(b"<html>It works!</html>")),
    "no object": says(answer([1, 2])),
    "no header": says(answer({"succeeded": True})),
    "no number": says(answer({"header": {"revision": "x"}})),
    "no list": says(answer({"header": {"revision": "1"}, "responses": 5})),
    "no base64": says(answer({"header": {"revision": "1"}, "responses": [{"response_range": {"kvs": [
        {"value": "%", "mod_revision": "1"}]}}]})),
    "no text": says(answer({"header": {"revision": "1"}, "responses": [{"response_range": {"kvs": [
        {"value": "/w==", "mod_revision": "1"}]}}]})),
    "too deep": says(answer(b"[" * 100_000)),
    "huge by its own words": says(answer(b" " * (ANSWER_MAX_BYTES + 1))),
    "endless": endless,
    "endless header": endless_header,
    "not found": says(answer(b"404 page not found", "404 Not Found")),
    "moved": says(answer(b"", "301 Moved Permanently", "Location: http://127.0.0.1:1/\r\n")),
    "permission": says(answer({"error": "etcdserver: permission denied", "code": 7}, "403 Forbidden")),
    "users": says(answer({"error": "etcdserver: user name is empty", "code": 3}, "400 Bad Request")),
    "control characters": says(answer({"error": "\x1b[2J\n" * 100}, "400 Bad Request")),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_member_that_somebody_has_to_mend(make: Make, kind: str) -> None:
    error = refusal(Etcd([make(WRONG[kind]).url]))
    assert error.code == "registry-refused"


def test_the_words_of_etcd_are_told(make: Make) -> None:
    error = refusal(Etcd([make(WRONG["permission"]).url]))
    assert "permission denied" in str(error)


def test_the_other_members_are_asked_and_the_one_that_answered_is_asked_first_from_then_on(make: Make) -> None:
    slow, good = make(silent), make(says(answer(GOOD)))
    door = Etcd([slow.url, good.url])
    assert door.commit(ASK).succeeded
    assert door.commit(ASK).succeeded
    assert (len(slow.requests), len(good.requests)) == (1, 2)
    assert door.member == good.url


def test_of_several_that_fail_the_one_is_told_that_somebody_can_mend(make: Make) -> None:
    members = [make(SLOW["has no leader"]).url, make(WRONG["permission"]).url, make(SLOW["has no leader"]).url]
    assert "permission denied" in str(refusal(Etcd(members)))


# Users


def login(password: str, tokens: list[str]) -> Serve:
    def serve(connection: socket.socket, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        if b"/v3/auth/authenticate" in head:
            is_right = json.loads(body) == {"name": "nodes", "password": password}
            tokens.append(f"token.{len(tokens)}")
            good = answer({"header": {}, "token": tokens[-1]})
            connection.sendall(good if is_right else answer({"error": "authentication failed"}, "400 Bad Request"))
        else:
            is_right = bool(tokens) and f"Authorization: {tokens[-1]}".encode() in head
            connection.sendall(answer(GOOD) if is_right else answer({"error": "invalid token"}, "401 Unauthorized"))

    return serve


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("secret\nnot this\n")
    return path


def test_a_user_logs_in_once_and_again_when_the_token_has_run_out(make: Make, password_file: Path) -> None:
    tokens: list[str] = []
    door = Etcd([make(login("secret", tokens)).url], Credentials(user="nodes", password_file=str(password_file)))
    assert door.commit(ASK).succeeded
    assert door.commit(ASK).succeeded
    assert len(tokens) == 1
    tokens.append("others")
    assert door.commit(ASK).succeeded
    assert len(tokens) == 3


def test_a_wrong_password_is_refused_and_never_told(make: Make, password_file: Path) -> None:
    door = Etcd([make(login("other", [])).url], Credentials(user="nodes", password_file=str(password_file)))
    error = refusal(door)
    assert error.code == "registry-refused"
    assert "secret" not in str(error)


def test_a_token_that_is_never_taken_is_not_asked_for_for_ever(make: Make, password_file: Path) -> None:
    server = make(says(answer({"token": "t"}), answer({"error": "no"}, "401 Unauthorized")))
    error = refusal(Etcd([server.url], Credentials(user="nodes", password_file=str(password_file))))
    assert error.code == "registry-refused"
    assert len(server.requests) <= 4


@pytest.mark.parametrize("token", [None, 5, "a\r\nX: y"])
def test_what_is_no_token(make: Make, password_file: Path, token: object) -> None:
    server = make(says(answer({"token": token})))
    error = refusal(Etcd([server.url], Credentials(user="nodes", password_file=str(password_file))))
    assert "no token" in str(error)


@pytest.mark.parametrize(
    ("key", "credentials"),
    [
        ("registry.password_file", Credentials(user="nodes", password_file="/nowhere/password")),
        ("registry.ca", Credentials(ca="/nowhere/ca.pem")),
        ("registry.cert", Credentials(cert="/nowhere/node.pem")),
    ],
)
def test_a_file_that_is_not_there_is_named(make: Make, key: str, credentials: Credentials) -> None:
    url = make(says(answer(GOOD))).url
    error = refusal(Etcd([url if credentials.user else url.replace("http:", "https:")], credentials))
    assert error.code == "registry-refused"
    assert key in str(error)
    assert "/nowhere/" in str(error)
