"""etcd itself, as Debian has it: transactions, TLS, users, and what is claimed when it stops, hangs or starts anew."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeprep.errors import RegistryError
from nodeprep.host.registry import etcd as module
from nodeprep.host.registry.etcd import Credentials, Etcd
from nodeprep.registry.claimed import Claimed
from nodeprep.registry.gateway import OPERATIONS_MAX, Absent, Delete, Get, Put, Says, Txn, Unchanged
from tests.fakes.registered import Machine, identity
from tests.lab.etcd import PASSWORD, EtcdServer

pytestmark = pytest.mark.skipif(
    not (shutil.which("etcd") and shutil.which("etcdctl")), reason="needs the packages etcd-server and etcd-client"
)


def free_port() -> int:
    """Return a port of the loopback that is free, and so is the next."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except (OSError, OverflowError):
                continue


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    folder = tmp_path / "etcd"
    folder.mkdir()
    with EtcdServer(folder, "127.0.0.1", port=free_port()) as running:
        yield running


def test_a_transaction_is_carried_out_as_a_whole_or_not_at_all(server: EtcdServer) -> None:
    door = Etcd([server.url])
    claiming = Txn((Absent("a"),), (Put("a", "1"), Put("b", "ü"), Get("b")), (Get("a"), Get("c")))
    first, second = door.commit(claiming), door.commit(claiming)
    assert first.succeeded
    assert [entry and entry.value for entry in first.entries] == ["ü"]
    assert not second.succeeded
    assert [entry and entry.value for entry in second.entries] == ["1", None]
    assert second.entries[0]
    assert second.entries[0].revision == first.revision == second.revision
    assert door.commit(Txn((Says("a", "1"), Unchanged("b", first.revision)), (Put("a", "2"),))).succeeded
    assert not door.commit(Txn((Says("a", "1"),), (Delete("a"),))).succeeded
    assert not door.commit(Txn((Unchanged("a", first.revision),), (Delete("a"),))).succeeded
    assert door.commit(Txn((Says("a", "2"),), (Delete("a"),))).succeeded
    assert door.commit(Txn((Absent("a"),), tuple(Get(f"{n}") for n in range(OPERATIONS_MAX)))).succeeded
    door.close()


def test_of_many_that_claim_at_one_instant_one_has_it(server: EtcdServer) -> None:
    won: list[int] = []

    def claim(number: int) -> None:
        door = Etcd([server.url])
        if door.commit(Txn((Absent("name"),), (Put("name", f"{number}"),))).succeeded:
            won.append(number)
        door.close()

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_64_machines_draw_the_numbers_from_1_to_64(server: EtcdServer, tmp_path: Path) -> None:
    names = [f"worker-{number:02d}" for number in range(1, 200)]

    async def draw() -> list[str | None]:
        machines = [Machine(tmp_path / f"{n}", Etcd([server.url]), identity(f"node-{n}")) for n in range(64)]
        drawn = await asyncio.gather(*(one.registrar.draw(one.speaker(renews=True), names) for one in machines))
        for one in machines:
            one.registrar.close()
        return drawn

    assert sorted(map(str, asyncio.run(draw()))) == names[:64]


def test_copies_of_one_disk_are_told_apart(server: EtcdServer, tmp_path: Path) -> None:
    async def boot() -> list[Claimed]:
        template = Machine(tmp_path / "template", Etcd([server.url]), identity("golden"))
        await template.claim()
        await template.registrar.park()
        copies = [template.copy(tmp_path / f"{number}") for number in range(4)]
        for copy in copies:
            copy.door = copy.incumbent._door = Etcd([server.url])
        return list(await asyncio.gather(*(copy.claim() for copy in copies)))

    results = asyncio.run(boot())
    assert sorted(bool(result.lost) for result in results) == [False, True, True, True]
    assert not any(result.doubted for result in results)


def test_one_that_hangs_and_one_that_is_stopped_are_away_until_they_are_there_again(
    server: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_S", 1.0)
    door = Etcd([server.url])
    assert door.commit(Txn((), (Put("a", "1"),))).succeeded
    server.pause()
    with pytest.raises(RegistryError) as caught:
        door.commit(Txn((), (Get("a"),)))
    assert caught.value.code == "registry-away"
    server.resume()
    assert door.commit(Txn((), (Get("a"),))).entries[0]
    server.stop()
    with pytest.raises(RegistryError) as caught:
        door.commit(Txn((), (Get("a"),)))
    assert caught.value.code == "registry-away"
    server.start()
    assert door.commit(Txn((), (Get("a"),))).entries[0]
    door.close()


def test_users_and_their_permissions(server: EtcdServer, tmp_path: Path) -> None:
    server.with_users("/nodeprep/")
    ask = Txn((Absent("/nodeprep/a"),), (Put("/nodeprep/a", "1"),), (Get("/nodeprep/a"),))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "wrong").write_text("wrong\n")

    def door(user: str, file: str = "password") -> Etcd:
        return Etcd([server.url], Credentials(user=user, password_file=str(tmp_path / file)))

    assert door("nodes").commit(ask).succeeded
    for other, words in (
        (Etcd([server.url]), "user name is empty|invalid auth token|permission denied"),
        (door("nodes", "wrong"), "authentication failed"),
        (door("nobody"), "authentication failed"),
        (door("others"), "permission denied"),
    ):
        with pytest.raises(RegistryError, match=words) as caught:
            other.commit(ask)
        assert caught.value.code == "registry-refused"


# TLS


def authority(folder: Path, name: str) -> tuple[str, ...]:
    """Make a CA that has signed itself, for the loopback as well; return options of openssl(1) that name it."""
    command = (
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")),
    )
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return (f"--cert-file={folder / name}.pem", f"--key-file={folder / name}.key")


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[EtcdServer]:
    """Return an etcd with a certificate, which wants one of its clients, that of the CA `node`."""
    folder = tmp_path / "etcd"
    folder.mkdir()
    tls = authority(tmp_path, "server")
    authority(tmp_path, "node")
    authority(tmp_path, "stranger")
    with EtcdServer(folder, "127.0.0.1", port=free_port(), tls=tls) as running:
        running.stop()
        running.want_certificates_of(tmp_path / "node.pem")
        running.start()
        yield running


def test_tls_with_certificates_on_both_sides(secure: EtcdServer, tmp_path: Path) -> None:
    def door(ca: str, node: str) -> Etcd:
        files = [str(tmp_path / name) if name else "" for name in (f"{ca}.pem", f"{node}.pem", f"{node}.key")]
        return Etcd([secure.url], Credentials(*files))

    assert door("server", "node").commit(Txn((), (Put("a", "1"),))).succeeded
    with pytest.raises(RegistryError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        door("stranger", "node").commit(Txn((), (Get("a"),)))
    assert caught.value.code == "registry-refused"
    with pytest.raises(RegistryError):  # etcd says an alert, or hangs up before it is heard
        door("server", "stranger").commit(Txn((), (Get("a"),)))
    with pytest.raises(RegistryError):  # it is not asked in clear either
        Etcd([secure.url.replace("https", "http")]).commit(Txn((), (Get("a"),)))
