"""Outside: what nmap(1) finds open on a machine, from another namespace, with real listeners on every port it asks for.

It asks for the edges of what any role opens, the port before and the port behind. What a role should open is read here
from its file as it is shipped, and from nothing of nodeprep's own.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.clone import Clone
from tests.lab.lan import LINK, Lan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES = Path(__file__).parents[2] / "config" / "roles.d"
SHIPPED = tuple(sorted(path.stem for path in ROLES.glob("*.toml")))
NOBODY = ("pods", "metrics")
"""Whom nobody named: what only they need is not opened."""
NUMBERS = {"ip-in-ip": 4, "vrrp": 112}
SSH = frozenset({"22/tcp"})
SOURCES = itertools.count(40000)
"""A source port for each scan: from one that was used before, what a former role opened would be a connection that
conntrack still has (nf_conntrack_udp_timeout_stream), and be found open."""
LISTENERS = """
import json, selectors, socket, sys
chosen = selectors.DefaultSelector()
for protocol, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
    for port in json.loads(sys.argv[1])[protocol]:
        listener = socket.socket(socket.AF_INET6, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            listener.listen(16)
        chosen.register(listener, selectors.EVENT_READ, kind)
open("/run/listening", "w").close()
while True:
    for key, _ in chosen.select():
        if key.data == socket.SOCK_STREAM:
            key.fileobj.accept()[0].close()
        else:
            _, peer = key.fileobj.recvfrom(2048)
            key.fileobj.sendto(b"!", peer)
"""


def needs(role: str, nobody: Iterable[str] = NOBODY) -> set[tuple[str, int, int]]:
    """Return protocol, first and last port of what a role opens as long as nobody is named; 0 where it has no ports."""
    found = set()
    for opening in tomllib.loads((ROLES / f"{role}.toml").read_text(encoding="utf-8"))["opening"]:
        words, protocols = (
            [value] if isinstance(value, str) else value for value in (opening["from"], opening["protocol"])
        )
        if set(words) <= set(nobody):
            continue
        first, _, last = opening.get("ports", "0").partition("-")
        found |= {(protocol, int(first), int(last or first)) for protocol in protocols}
    return found


def asked() -> dict[str, tuple[int, ...]]:
    """Return the ports that are asked for, of both protocols."""
    ports: dict[str, set[int]] = {"tcp": {22, 80, 10248}, "udp": {53}}
    for protocol, first, last in set().union(*map(needs, SHIPPED)):
        if protocol in ports:
            edges = {first - 1, first, first + 1, last - 1, last, last + 1, (first + last) // 2}
            ports[protocol] |= edges
    return {protocol: tuple(sorted(each)) for protocol, each in ports.items()}


ASKED = asked()


def expected(role: str) -> frozenset[str]:
    """Return which of the ports that are asked for a role opens, with sshd's."""
    ranges = needs(role)
    return SSH | {
        f"{port}/{protocol}"
        for protocol, ports in ASKED.items()
        for port in ports
        if any(protocol == each and first <= port <= last for each, first, last in ranges)
    }


def whole_protocols(role: str) -> frozenset[int]:
    """Return the numbers of the protocols without ports that a role opens."""
    return frozenset(NUMBERS[protocol] for protocol, _, _ in needs(role) if protocol in NUMBERS)


def listen(machine: Clone) -> None:
    """Listen on every port that is asked for, in both families, until the machine ends."""
    ports = json.dumps({protocol: [port for port in each if port != 22] for protocol, each in ASKED.items()})
    machine.write("/root/listeners.py", LISTENERS)
    machine.run("systemd-run", "-q", "--unit=listeners", "/usr/bin/python3", "/root/listeners.py", ports)
    machine.wait_for(lambda: machine.exists("/run/listening"), 20)


def targets(machine: Clone) -> tuple[str, str]:
    """Return a machine's IPv4 address and its link-local one with the client's zone."""
    found = {}
    for version in (4, 6):
        told = machine.run("ip", f"-{version}", "-json", "address", "show", "dev", LINK).stdout
        found[version] = json.loads(told)[0]["addr_info"][0]["local"]
    return found[4], f"{found[6]}%{LINK}"


def scan(lan: Lan, client: str, at: Iterable[str]) -> list[frozenset[str]]:
    """Return which ports, as 6443/tcp, nmap finds open from a client at each of these addresses."""
    ports = ",".join(f"{protocol[0].upper()}:{','.join(map(str, each))}" for protocol, each in ASKED.items())
    how = ("-sS", "-sU", "-g", str(next(SOURCES)), "-p", ports)
    families = [(*(("-6",) if ":" in each else ()), *how, each) for each in at]
    with ThreadPoolExecutor(len(families)) as together:
        told = together.map(lambda words: _states(lan, client, *words), families)
    return [frozenset(port for port, state in found.items() if state == "open") for found in told]


def scan_protocols(lan: Lan, client: str, address: str) -> frozenset[int]:
    """Return which of the protocols without ports reach a machine.

    They are told by its answer that it has no such protocol, which a packet that was dropped does not get. The client
    must have no other answers from it: the kernel gives one host no more than one such answer a second (icmp(7)).
    """
    found = _states(lan, client, "-sO", "-p", ",".join(map(str, NUMBERS.values())), address)
    return frozenset(int(port.partition("/")[0]) for port, state in found.items() if state in ("open", "closed"))


def _states(lan: Lan, client: str, *words: str) -> dict[str, str]:
    """Return port → state as nmap has them."""
    how = ("-n", "-Pn", "--send-ip", "--max-retries", "1", "--max-rtt-timeout", "200ms", "--min-rate", "400")
    told = lan.run(client, "nmap", *how, "-oX", "-", *words, timeout=60).stdout
    found = re.findall(r'<port protocol="(\w+)" portid="(\d+)"><state state="([^"]+)"', told)
    return {f"{port}/{protocol}": state for protocol, port, state in found}
