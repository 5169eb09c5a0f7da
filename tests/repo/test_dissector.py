"""The dissector reads what the codec writes, in a capture, with Wireshark's own engine."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nodeprep.endpoint import DEFAULT_PORT
from nodeprep.peers.message import ETHERTYPE, Claim, ClaimKind, Message, MessageType, Standing, claim, encode
from tests.repo.sources import ROOT

SCRIPT = ROOT / "packaging/wireshark/nodeprep.lua"
KEY = bytes(range(32))
NONCE = bytes(range(16))
MAC = bytes.fromhex("525400770010")

pytestmark = pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")


def message(kind: MessageType, claims: frozenset[Claim], *answers: bytes, heard: bool = False) -> Message:
    return Message(kind, NONCE, Standing.READY, claims, frozenset(answers), heard, "control-plane,etcd", 123_456_789)


def dissected(tmp_path: Path, *payloads: bytes) -> list[dict[str, Any]]:
    """Return what tshark makes of a capture of these payloads, frame by frame."""
    return captured(tmp_path, *(struct.pack(">H", ETHERTYPE) + payload.ljust(46, b"\0") for payload in payloads))


def captured(tmp_path: Path, *contents: bytes) -> list[dict[str, Any]]:
    """Return what tshark makes of a capture of frames, each given from its EtherType on."""
    records = []
    for content in contents:
        frame = b"\xff" * 6 + MAC + content
        records.append(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    capture = tmp_path / "frames.pcap"
    capture.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records))
    done = subprocess.run(
        ("tshark", "-X", f"lua_script:{SCRIPT}", "-r", str(capture), "-T", "json", "--no-duplicate-keys"),
        capture_output=True, text=True, timeout=60, check=False, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "lua" not in done.stderr.lower().replace("nodeprep.lua", ""), done.stderr
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def trees(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the claims of one frame: a list where there are several of them, else one alone."""
    claims = layer["nodeprep.claim"]
    return list(claims) if isinstance(claims, list) else [claims]


def hexes(value: bytes) -> str:
    return ":".join(f"{octet:02x}" for octet in value)


@pytest.mark.parametrize("kind", MessageType)
def test_every_type_is_read_field_by_field(tmp_path: Path, kind: MessageType) -> None:
    claims = frozenset(claim(KEY, each, "value") for each in ClaimKind)
    answers = (bytes(16), b"\xab" * 16) if kind is MessageType.CONFLICT else ()
    (payload,) = encode(message(kind, claims, *answers, heard=bool(answers)), KEY)
    (layers,) = dissected(tmp_path, payload)
    read = layers["nodeprep"]
    assert read["nodeprep.magic"] == "ndpr"
    assert read["nodeprep.version"] == "1"
    assert read["nodeprep.length"] == str(len(payload))
    assert read["nodeprep.nonce"] == hexes(NONCE)
    assert read["nodeprep.stamp"] == "123456789"
    assert read["nodeprep.type"] == str(int(kind))
    assert read["nodeprep.standing"] == "2"
    assert read["nodeprep.role"] == "control-plane,etcd"
    assert read["nodeprep.mac"] == hexes(payload[-16:])
    assert read.get("nodeprep.answer", []) == [hexes(answer) for answer in sorted(answers)]
    found = {(row["nodeprep.claim.kind"], row["nodeprep.claim.token"]) for row in trees(read)}
    assert found == {(str(int(each.kind)), hexes(each.token)) for each in claims}
    heard = read["nodeprep.flags_tree"]["nodeprep.flags.heard"]
    assert heard in (("1", True) if answers else ("0", False))


def test_a_message_of_several_frames_is_read_frame_by_frame(tmp_path: Path) -> None:
    claims = frozenset(claim(KEY, ClaimKind.IPV6, f"2001:db8::{number:x}") for number in range(150))
    payloads = encode(message(MessageType.ANNOUNCE, claims), KEY)
    layers = dissected(tmp_path, *payloads)
    assert len(layers) == len(payloads) == 2
    assert sum(len(trees(each["nodeprep"])) for each in layers) == 150
    assert [each["nodeprep"]["nodeprep.stamp"] for each in layers] == ["123456789", "123456790"]


def test_counts_that_do_not_agree_with_the_length_are_called_malformed(tmp_path: Path) -> None:
    (payload,) = encode(message(MessageType.ANNOUNCE, frozenset({claim(KEY, ClaimKind.MAC, "x")})), KEY)
    (layers,) = dissected(tmp_path, payload[:36] + b"\x09" + payload[37:])
    assert "nodeprep.malformed" in json.dumps(layers)


def test_a_datagram_is_read_like_a_frame(tmp_path: Path) -> None:
    (payload,) = encode(message(MessageType.PROBE, frozenset({claim(KEY, ClaimKind.HOSTNAME, "x")})), KEY)
    udp = struct.pack(">HHHH", DEFAULT_PORT, DEFAULT_PORT, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, b"\x0a\1\2\3", b"\x0a\1\2\4")
    (layers,) = captured(tmp_path, b"\x08\x00" + ip + udp)
    assert layers["nodeprep"]["nodeprep.nonce"] == hexes(NONCE)
    assert layers["nodeprep"]["nodeprep.mac"] == hexes(payload[-16:])


def test_another_protocol_under_the_same_ethertype_is_left_alone(tmp_path: Path) -> None:
    (layers,) = dissected(tmp_path, b"\x01" * 60)
    assert "nodeprep" not in layers
