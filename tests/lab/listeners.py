"""Listeners on every port that a test asks about, and a client that tells which of them answer it."""

from __future__ import annotations

import json

from tests.lab.clone import Clone
from tests.lab.lan import Lan

TCP = (22, 80, 2379, 2380, 6443, 10248, 10250, 10256, 10257, 10259, 29999, 30000, 31234, 32767, 32768)
UDP = (53, 8472, 29999, 30000, 32767, 32768)
LISTENERS = f"""
import selectors, socket
chosen = selectors.DefaultSelector()
for kind, ports in ((socket.SOCK_STREAM, {TCP!r}), (socket.SOCK_DGRAM, {UDP!r})):
    for port in ports:
        if port == 22:
            continue
        listener = socket.socket(socket.AF_INET, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        if kind == socket.SOCK_STREAM:
            listener.listen(16)
        chosen.register(listener, selectors.EVENT_READ, kind)
while True:
    for key, _ in chosen.select():
        if key.data == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            data, peer = key.fileobj.recvfrom(64)
            key.fileobj.sendto(data, peer)
"""
CLIENT = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
address, tcp, udp = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
def connects(port):
    try:
        socket.create_connection((address, port), timeout=1.0).close()
        return True
    except OSError:
        return False
def replies(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.0)
        try:
            sender.sendto(b"?", (address, port))
            sender.recvfrom(64)
            return True
        except OSError:
            return False
with ThreadPoolExecutor(32) as together:
    found = [together.map(connects, tcp), together.map(replies, udp)]
    answered = [[port for port, answers in zip(ports, each) if answers] for ports, each in zip((tcp, udp), found)]
print(json.dumps(dict(zip(("tcp", "udp"), answered))))
"""


def listen(machine: Clone) -> None:
    """Start listeners on every port of the test."""
    machine.write("/root/listeners.py", LISTENERS)
    machine.run("systemd-run", "-q", "--unit=listeners", "/usr/bin/python3", "/root/listeners.py")
    machine.wait_for(lambda: "32768" in machine.run("ss", "-Hltn").stdout, 10)


def answered(lan: Lan, machine: Clone, client: str) -> dict[str, list[int]]:
    """Return which ports answer a client in another namespace."""
    address = machine.run("ip", "-4", "-json", "address", "show", "dev", "eth0").stdout
    target = json.loads(address)[0]["addr_info"][0]["local"]
    done = lan.run(client, "/usr/bin/python3", "-c", CLIENT, target, json.dumps(TCP), json.dumps(UDP), timeout=60)
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found
