"""What `nodeprep ports` writes for firewalls, as their own programs read it: exactly the openings, however often."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nodeprep.formats import firewalld, iptables, nft, ufw
from nodeprep.formats.sheet import UNKNOWN
from nodeprep.host.firewall.ruleset import number
from nodeprep.model import IP_PROTOCOLS
from tests.contract.conftest import Segment
from tests.fakes import sheets
from tests.fakes.sheets import NOBODY_SAID, Entry, Told, told

pytestmark = pytest.mark.root

ANYONE = {"ipv4": "0.0.0.0/0", "ipv6": "::/0"}
WORDS = {number: word for word, number in IP_PROTOCOLS.items()} | {1: "icmp-echo", 58: "icmp-echo"}
# Debian's own, and not what a virtual environment has.
PYTHON = "/usr/bin/python3"


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program} here")


def in_families(found: Told, *families: str) -> Told:
    """Return those of a family of addresses."""
    return frozenset(each for each in found if f"ipv{ip_network(each[3]).version}" in families)


# nft


def read_nft(listing: str) -> Told:
    found: set[Entry] = set()
    for rule in (made["rule"] for made in json.loads(listing)["nftables"] if "rule" in made):
        sources, what = ["any"], None
        for match in (statement["match"] for statement in rule["expr"] if "match" in statement):
            left, right = match["left"], match["right"]
            field = left.get("payload", {}).get("field", left.get("meta", {}).get("key"))
            if field == "saddr":
                values = right["set"] if isinstance(right, dict) and "set" in right else [right]
                sources = [
                    "{addr}/{len}".format(**v["prefix"]) if isinstance(v, dict) else str(ip_network(v)) for v in values
                ]
            elif field == "dport":
                first, last = right["range"] if isinstance(right, dict) else (right, right)
                what = (left["payload"]["protocol"], first, last)
            elif field == "l4proto":
                what = (WORDS[number(right)], 0, 0)
            else:
                assert (field, right) == ("type", "echo-request")
                family = {"icmp": "ipv4", "icmpv6": "ipv6"}[left["payload"]["protocol"]]
                what = ("icmp-echo", 0, 0)
                sources = [ANYONE[family]] if sources == ["any"] else sources
        assert what and {"accept": None} in rule["expr"]
        found.update((*what, source) for source in sources if source != "any")
        found.update((*what, source) for source in ANYONE.values() if sources == ["any"])
    return frozenset(found)


@pytest.mark.parametrize("cluster", [sheets.KNOWN, NOBODY_SAID], ids=["known", "nobody-said"])
@pytest.mark.parametrize("name", ["hostile", "worker", "all"])
def test_nft_reads_exactly_the_openings(quiet_segment: Segment, name: str, cluster: Any) -> None:
    sheet = sheets.every(name, cluster)
    text = nft.write(sheet).text
    run = quiet_segment.inside.run
    run("nft", "-c", "-f", "-", stdin=text)
    assert '"filter"' not in run("nft", "-j", "list", "tables"), "a check changes nothing"
    run("nft", "-f", "-", stdin="table inet filter { chain input { type filter hook input priority 0; }; }")
    for _ in range(2):
        run("nft", "-f", "-", stdin=text)
        listing = run("nft", "-j", "list", "chain", "inet", "filter", "nodeprep")
        assert read_nft(listing) == told(sheet.openings)
    run("nft", "insert", "rule", "inet", "filter", "input", "jump", "nodeprep")
    assert text.count(UNKNOWN) == len(sheet.unknown)


# iptables


def read_iptables(saved: str, family: str) -> Told:
    """Return what chains of ours and of ufw accept, from what iptables-save(8) or `iptables -S` print."""
    found: set[Entry] = set()
    for line in saved.splitlines():
        words = shlex.split(line)
        if words[:2] not in (["-A", "NODEPREP"], ["-A", "ufw-user-input"], ["-A", "ufw6-user-input"]):
            continue
        options = dict(pairwise(words))
        assert options["-j"] == "ACCEPT"
        source = options.get("-s", ANYONE[family])
        protocol = options.get("-p", "all")
        ports = options.get("--dport", options.get("--dports", ""))
        if ports:
            for part in ports.split(","):
                first, _, last = part.partition(":")
                found.add((protocol, int(first), int(last or first), source))
        else:
            assert options.get("--icmp-type", options.get("--icmpv6-type", "8")) in ("8", "128", "echo-request")
            value = number(protocol) if not protocol.isdigit() else int(protocol)
            found.add((WORDS[value], 0, 0, source))
    return frozenset(found)


@pytest.mark.parametrize("flavour", ["nft", "legacy"])
@pytest.mark.parametrize("cluster", [sheets.KNOWN, NOBODY_SAID], ids=["known", "nobody-said"])
@pytest.mark.parametrize("name", ["hostile", "all"])
def test_iptables_restore_reads_exactly_the_openings(
    quiet_segment: Segment, name: str, cluster: Any, flavour: str
) -> None:
    needs(f"iptables-{flavour}-restore")
    sheet = sheets.every(name, cluster)
    text = iptables.write(sheet).text
    assert text.count(UNKNOWN) == len(sheet.unknown)
    run = quiet_segment.inside.run
    for family, program in (("ipv4", f"iptables-{flavour}"), ("ipv6", f"ip6tables-{flavour}")):
        try:
            run(program, "-A", "INPUT", "-s", "127.0.0.9" if family == "ipv4" else "fd00::9", "-j", "DROP")
        except AssertionError as error:
            pytest.skip(f"this kernel has no such tables: {error}")
        before = rules_of(run(f"{program}-save"))
        run(f"{program}-restore", "--test", "--noflush", stdin=text)
        assert rules_of(run(f"{program}-save")) == before, "a test changes nothing"
        for _ in range(2):
            run(f"{program}-restore", "--noflush", stdin=text)
            saved = run(f"{program}-save")
            assert read_iptables(saved, family) == in_families(told(sheet.openings), family)
        assert "-A INPUT -s" in saved, "the operator's rule stays"
        run(program, "-I", "INPUT", "-j", iptables.CHAIN)


def rules_of(saved: str) -> list[str]:
    """Return what iptables-save(8) lists, without the times at both ends, and counters that any packet moves."""
    return re.sub(r"\[\d+:\d+\]", "", saved).splitlines()[2:-1]


def test_what_was_loaded_lets_in_who_is_named_and_nobody_else(segment: Segment) -> None:
    inside, outside = segment.inside, segment.outside
    inside.listen(10256)
    outside.run("ip", "address", "add", "198.51.100.7/32", "dev", "v0")
    inside.run("ip", "route", "add", "198.51.100.0/24", "dev", "v0")
    drop = "table inet filter { chain input { type filter hook input priority 0; policy drop; }; }"
    inside.run("nft", "-f", "-", stdin=drop)
    inside.run("nft", "-f", "-", stdin=nft.write(sheets.sheet("worker")).text)
    inside.run("nft", "insert", "rule", "inet", "filter", "input", "jump", "nodeprep")
    inside.run("nft", "insert", "rule", "inet", "filter", "input", "meta", "l4proto", "{ icmp, ipv6-icmp }", "accept")
    assert not outside.connects(inside.ipv4, 10256, "10.77.0.2")
    assert outside.connects(inside.ipv4, 10256, "198.51.100.7")


# ufw


@pytest.mark.parametrize("cluster", [sheets.KNOWN, NOBODY_SAID], ids=["known", "nobody-said"])
@pytest.mark.parametrize("name", ["hostile", "worker"])
def test_ufw_takes_profiles_and_rules_as_they_are_written(
    quiet_segment: Segment, tmp_path: Path, name: str, cluster: Any
) -> None:
    needs("ufw", "unshare")
    sheet = sheets.every(name, cluster)
    written = ufw.write(sheet)
    script = tmp_path / "openings.sh"
    script.write_text(written.text)
    # On copies of its files, in a namespace of mounts that ends with the shell.
    steps = f"""
    set -eu
    cp -a /etc/ufw {tmp_path}/ufw; cp -a /etc/default/ufw {tmp_path}/default
    mount --bind {tmp_path}/ufw /etc/ufw; mount --bind {tmp_path}/default /etc/default/ufw
    sh {script}
    ufw --force enable
    sh {script}
    ufw status > {tmp_path}/status
    iptables -S ufw-user-input > {tmp_path}/ipv4; ip6tables -S ufw6-user-input > {tmp_path}/ipv6
    """
    quiet_segment.inside.run("unshare", "--mount", "sh", "-c", steps)
    wanted = frozenset(each for each in told(sheet.openings) if each[0] not in ("icmp-echo", "ip-in-ip"))
    for family in ("ipv4", "ipv6"):
        found = read_iptables((tmp_path / family).read_text(), family)
        assert found == in_families(wanted, family)
    status = (tmp_path / "status").read_text()
    for role, openings in sheet.by_role:
        if any(opening.ports for opening in openings):
            assert f"nodeprep-{role}" in status
    missing = {opening.title for opening in sheet.openings if opening.protocol in ("icmp-echo", "ip-in-ip")}
    assert {each.partition(":")[0] for each in written.left_out} == missing
    assert (UNKNOWN in written.text) == bool(sheet.unknown)


# firewalld

READER = """
import json, sys
from firewall.core.io.service import service_reader
from firewall.core.rich import Rich_Rule
folder, log = sys.argv[1:]
services, rules = {}, []
import os
for name in os.listdir(folder):
    read = service_reader(name, folder)
    services[name[:-4]] = {"ports": read.ports, "protocols": read.protocols}
for line in open(log):
    if not line.startswith("--permanent"):
        continue
    option, _, value = line.rstrip("\\n").split(" ", 1)[1].partition("=")
    if option == "--add-service":
        rules.append([["0.0.0.0/0", "::/0"], value, None])
        continue
    assert option == "--add-rich-rule", option
    rule = Rich_Rule(rule_str=value)
    rule.check()
    element = rule.element
    rules.append([[rule.source.addr], getattr(element, "name", None), type(element).__name__])
print(json.dumps([services, rules]))
"""


def read_firewalld(folder: Path, log: Path) -> Told:
    done = subprocess.run((PYTHON, "-c", READER, folder, log), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    services, rules = json.loads(done.stdout)
    found: set[Entry] = set()
    for sources, name, element in rules:
        for source in sources:
            if element == "Rich_IcmpType":
                found.add(("icmp-echo", 0, 0, source))
                continue
            for ports, protocol in services[name]["ports"]:
                first, _, last = ports.partition("-")
                found.add((protocol, int(first), int(last or first), source))
            found.update((WORDS[int(each)], 0, 0, source) for each in services[name]["protocols"])
    return frozenset(found)


@pytest.mark.parametrize("cluster", [sheets.KNOWN, NOBODY_SAID], ids=["known", "nobody-said"])
@pytest.mark.parametrize("name", ["hostile", "worker", "all"])
def test_firewalld_reads_exactly_the_openings(tmp_path: Path, name: str, cluster: Any) -> None:
    if subprocess.run((PYTHON, "-c", "import firewall"), capture_output=True, check=False).returncode:
        pytest.skip("no firewalld here")
    sheet = sheets.every(name, cluster)
    written = firewalld.write(sheet)
    services, programs = tmp_path / "services", tmp_path / "bin"
    services.mkdir()
    programs.mkdir()
    log = tmp_path / "log"
    recorder = programs / "firewall-cmd"
    recorder.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\n')
    recorder.chmod(0o755)
    script = written.text.replace(firewalld.FOLDER, str(services))
    done = subprocess.run(
        ("sh", "-c", script), env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    wanted = told(sheet.openings)
    if sheet.unknown:
        wanted = frozenset(each for each in wanted if each[0] != "icmp-echo")  # a zone lets it in by itself
    assert read_firewalld(services, log) == wanted
    assert (UNKNOWN in written.text) == bool(sheet.unknown)
    for role in sheet.roles:
        assert [path for path in services.iterdir() if re.match(rf"nodeprep-{role}\b", path.name)]
