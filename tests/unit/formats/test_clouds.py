"""Rules for clouds, read as their own tools read them: exactly the openings, and nothing that a tool would refuse."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any, NoReturn

import pytest

from nodeprep.formats import aws, azure, gcp, terraform
from nodeprep.formats.sheet import UNKNOWN, Sheet
from nodeprep.model import IP_PROTOCOLS
from tests.fakes.sheets import EVERY, KNOWN, NOBODY_SAID, Entry, Told, every, told

SHEETS = pytest.mark.parametrize(
    "sheet",
    [every(name, cluster) for name in (*EVERY, "all") for cluster in (KNOWN, NOBODY_SAID)],
    ids=[f"{name}-{cluster}" for name in (*EVERY, "all") for cluster in ("known", "nobody-said")],
)
WORDS = {str(number): word for word, number in IP_PROTOCOLS.items()}
WORDS |= dict.fromkeys(("icmp", "icmpv6", "58"), "icmp-echo")


def entry(protocol: str, ports: str, source: str) -> Entry:
    first, _, last = ports.partition("-")
    return (WORDS.get(protocol, protocol), int(first or 0), int(last or first or 0), source)


def one_family(sources: Iterable[str]) -> bool:
    return len({ip_network(source).version for source in sources}) == 1


# AWS


def read_permissions(permissions: list[dict[str, Any]]) -> Told:
    found: set[Entry] = set()
    for permission in permissions:
        ports = f"{permission['FromPort']}-{permission['ToPort']}" if permission["IpProtocol"] in ("tcp", "udp") else ""
        sources = [each["CidrIp"] for each in permission.get("IpRanges", [])]
        sources += [each["CidrIpv6"] for each in permission.get("Ipv6Ranges", [])]
        found.update(entry(permission["IpProtocol"], ports, source) for source in sources)
    return frozenset(found)


@SHEETS
def test_aws_permissions_pass_the_validation_of_its_own_library(sheet: Sheet) -> None:
    loaders = pytest.importorskip("botocore.loaders")
    from botocore.model import ServiceModel
    from botocore.serialize import create_serializer
    from botocore.validate import ParamValidator

    service = ServiceModel(loaders.Loader().load_service_model("ec2", "service-2"), "ec2")
    operation = service.operation_model("AuthorizeSecurityGroupIngress")
    parameters = {"GroupId": "sg-1", "IpPermissions": json.loads(aws.write(sheet).text)}
    report = ParamValidator().validate(parameters, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    assert create_serializer("ec2").serialize_to_request(parameters, operation)["body"]
    wrong = ParamValidator().validate({"IpPermissions": [{"Protocol": 4}]}, operation.input_shape)
    assert wrong.has_errors(), "the validation looks into permissions"


@SHEETS
def test_aws_permissions_are_exactly_the_openings(sheet: Sheet) -> None:
    permissions = json.loads(aws.write(sheet).text)
    assert read_permissions(permissions) == told(sheet.openings)
    keys = [(p["IpProtocol"], p.get("FromPort"), p.get("ToPort")) for p in permissions]
    assert len(keys) == len(set(keys)), "a group refuses what it has already"
    for permission in permissions:
        for each in (*permission.get("IpRanges", []), *permission.get("Ipv6Ranges", [])):
            text = each["Description"]
            assert re.fullmatch(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}", text), text
            assert (UNKNOWN in text) == (each.get("CidrIp", each.get("CidrIpv6")) in ("0.0.0.0/0", "::/0"))
        if permission["IpProtocol"].startswith("icmp"):
            assert (permission["FromPort"], permission["ToPort"]) in ((8, -1), (128, -1)), "type and code of an echo"


# Command lines


class Strict(argparse.ArgumentParser):
    """The grammar of a tool, which takes no option that is not documented, nor any cut short."""

    def __init__(self, program: str) -> None:
        super().__init__(program, allow_abbrev=False, add_help=False)

    def error(self, message: str) -> NoReturn:
        raise AssertionError(message)


def matching(pattern: str) -> Any:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"{text!r} is not {pattern}")
        return text

    return check


def separated(check: Any) -> Any:
    return lambda text: [check(part) for part in text.split(",")]


def commands(text: str, *words: str) -> list[tuple[list[str], str]]:
    """Return the arguments of each command line, with what is said above it."""
    lines = text.splitlines()
    found = []
    for above, line in zip(["", *lines], lines, strict=False):
        if line and not line.startswith("#"):
            split = shlex.split(line)
            assert tuple(split[: len(words)]) == words
            found.append((split[len(words) :], above))
    return found


PORT = r"(?:[1-9][0-9]{0,4})"
CIDR = r"[0-9a-f.:]+/[0-9]+"


def gcloud() -> Strict:
    """`gcloud compute firewall-rules create`, as far as its reference documents rules of networks."""
    parser = Strict("gcloud")
    parser.add_argument("name", type=matching(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"))
    parser.add_argument("--network", default="default")
    parser.add_argument("--direction", choices=["INGRESS", "EGRESS", "IN", "OUT"])
    protocol = rf"(?:tcp|udp|icmp|esp|ah|sctp|[0-9]{{1,3}})(?::{PORT}(?:-{PORT})?)?"
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--action", choices=["ALLOW", "DENY"])
    which.add_argument("--allow", type=separated(matching(protocol)))
    parser.add_argument("--rules", type=separated(matching(protocol)))
    parser.add_argument("--source-ranges", type=separated(matching(CIDR)))
    parser.add_argument("--target-tags", type=separated(matching(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")))
    parser.add_argument("--description", type=matching(r".{0,2048}"))
    parser.add_argument("--priority", type=int)
    return parser


@SHEETS
def test_gcloud_takes_every_line_and_gets_exactly_the_openings(sheet: Sheet) -> None:
    written = gcp.write(sheet)
    found, names = set[Entry](), list[str]()
    for arguments, above in commands(written.text, "gcloud", "compute", "firewall-rules", "create"):
        asked = gcloud().parse_args(arguments)
        assert asked.action == "ALLOW" and asked.direction == "INGRESS" and asked.rules
        assert one_family(asked.source_ranges), "a rule is of one family"
        assert (UNKNOWN in above) == (UNKNOWN in asked.description) == bool(sheet.unknown)
        names.append(asked.name)
        for rule in asked.rules:
            protocol, _, ports = rule.partition(":")
            found.update(entry(protocol, ports, source) for source in asked.source_ranges)
    assert found == told(sheet.openings)
    assert len(names) == len(set(names))
    assert bool(written.left_out) == any(opening.protocol == "icmp-echo" for opening in sheet.openings)


def az() -> Strict:
    """`az network nsg rule create`, as its reference documents it."""
    parser = Strict("az")
    parser.add_argument("--name", "-n", required=True, type=matching(r"[A-Za-z0-9]([\w.-]{0,78}\w)?"))
    parser.add_argument("--nsg-name", required=True)
    parser.add_argument("--priority", required=True, type=int, choices=range(100, 4097))
    parser.add_argument("--resource-group", "-g", required=True)
    parser.add_argument("--access", choices=["Allow", "Deny"])
    parser.add_argument("--description", type=matching(r".{0,140}"))
    parser.add_argument("--destination-address-prefixes", nargs="+")
    parser.add_argument("--destination-port-ranges", nargs="+", type=matching(rf"\*|{PORT}(?:-{PORT})?"))
    parser.add_argument("--direction", choices=["Inbound", "Outbound"])
    parser.add_argument("--protocol", choices=["*", "Ah", "Esp", "Icmp", "Tcp", "Udp"])
    parser.add_argument("--source-address-prefixes", nargs="+", type=matching(rf"\*|{CIDR}"))
    parser.add_argument("--source-port-ranges", nargs="+", type=matching(rf"\*|{PORT}(?:-{PORT})?"))
    return parser


AZURE = {"Tcp": "tcp", "Udp": "udp", "Icmp": "icmp-echo", "Esp": "esp"}


def of_azure(openings: Told) -> Told:
    return frozenset(each for each in openings if each[0] in AZURE.values())


@SHEETS
def test_az_takes_every_line_and_gets_what_azure_can_pass(sheet: Sheet) -> None:
    written = azure.write(sheet)
    found, names, priorities = set[Entry](), list[str](), list[int]()
    for arguments, above in commands(written.text, "az", "network", "nsg", "rule", "create"):
        asked = az().parse_args(arguments)
        assert asked.access == "Allow" and asked.direction == "Inbound"
        sources = asked.source_address_prefixes
        assert sources == ["*"] or one_family(sources), "a rule is of one family"
        assert (UNKNOWN in above) == (UNKNOWN in asked.description) == (sources == ["*"]) == bool(sheet.unknown)
        names.append(asked.name)
        priorities.append(asked.priority)
        for ports in asked.destination_port_ranges:
            for source in sources if sources != ["*"] else ("0.0.0.0/0", "::/0"):
                found.add(entry(AZURE[asked.protocol], ports.replace("*", ""), source))
    assert found == of_azure(told(sheet.openings))
    assert len(names) == len(set(names))
    assert len(priorities) == len(set(priorities))
    missing = {opening.title for opening in sheet.openings if opening.protocol in ("ip-in-ip", "vrrp")}
    assert {each.partition(":")[0] for each in written.left_out} - {"icmp-echo"} == missing


# Terraform

ARGUMENTS = {
    "aws_vpc_security_group_ingress_rule": (
        {"security_group_id", "ip_protocol"},
        {"for_each", "cidr_ipv4", "cidr_ipv6", "description", "from_port", "to_port"},
    ),
    "google_compute_firewall": (
        {"name", "network"},
        {"allow", "description", "direction", "priority", "source_ranges", "target_tags"},
    ),
    "azurerm_network_security_rule": (
        {"name", "resource_group_name", "network_security_group_name", "protocol", "priority", "direction", "access"},
        {
            "description", "source_port_range", "destination_port_range", "destination_port_ranges",
            "source_address_prefix", "source_address_prefixes", "destination_address_prefix",
        },
    ),
}  # fmt: skip
"""Of each resource what its provider asks for, and what of the rest is used here."""


def plain(value: Any) -> Any:
    """Return what the parser read without what it adds; some of its versions leave a text in its quotes."""
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items() if key not in ("__is_block__", "__comments__")}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return json.loads(value) if isinstance(value, str) and value.startswith('"') else value


def resources(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return type and arguments of each resource, once it is seen to have those that its provider knows."""
    document = plain(pytest.importorskip("hcl2").loads(text))
    found, addresses = [], []
    for block in document["resource"]:
        ((kind, named),) = block.items()
        ((name, body),) = named.items()
        required, optional = ARGUMENTS[kind]
        assert required <= set(body) <= required | optional, (kind, name)
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", name)
        addresses.append((kind, name))
        found.append((kind, body))
    assert len(addresses) == len(set(addresses))
    declared = {name for block in document["variable"] for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared
    return found


@SHEETS
def test_terraform_for_aws_is_exactly_the_openings(sheet: Sheet) -> None:
    found: set[Entry] = set()
    for _, body in resources(terraform.write_aws(sheet).text):
        assert ("cidr_ipv4" in body) != ("cidr_ipv6" in body)
        sources = json.loads(re.fullmatch(r"\$\{toset\((.*)\)\}", body["for_each"])[1])  # type: ignore[index]
        assert one_family(sources)
        ports = f"{body['from_port']}-{body['to_port']}" if body["ip_protocol"] in ("tcp", "udp") else ""
        assert ("from_port" in body) == (body["ip_protocol"] in ("tcp", "udp", "icmp", "icmpv6"))
        found.update(entry(body["ip_protocol"], ports, source) for source in sources)
    assert found == told(sheet.openings)


@SHEETS
def test_terraform_for_gcp_is_exactly_the_openings(sheet: Sheet) -> None:
    found: set[Entry] = set()
    for _, body in resources(terraform.write_gcp(sheet).text):
        assert one_family(body["source_ranges"])
        for allow in body["allow"]:
            for ports in allow.get("ports", [""]):
                found.update(entry(allow["protocol"], ports, source) for source in body["source_ranges"])
    assert found == told(sheet.openings)


@SHEETS
def test_terraform_for_azure_is_what_azure_can_pass(sheet: Sheet) -> None:
    found: set[Entry] = set()
    for _, body in resources(terraform.write_azure(sheet).text):
        assert ("source_address_prefix" in body) != ("source_address_prefixes" in body)
        assert ("destination_port_range" in body) != ("destination_port_ranges" in body)
        assert len(body["description"]) <= 140 and body["priority"] in range(100, 4097)
        sources = body.get("source_address_prefixes", ["0.0.0.0/0", "::/0"])
        for ports in body.get("destination_port_ranges", [""]):
            found.update(entry(AZURE[body["protocol"]], ports, source) for source in sources)
    assert found == of_azure(told(sheet.openings))


def test_terraform_for_all_clouds_is_the_three_parts_of_which_each_stands_alone() -> None:
    sheet = every("all")
    text = terraform.write(sheet).text
    kinds = [kind for kind, _ in resources(text)]
    assert set(kinds) == set(ARGUMENTS)
    parts = (terraform.write_aws, terraform.write_gcp, terraform.write_azure)
    assert text.split() == "\n".join(part(sheet).text for part in parts).split()


@pytest.mark.parametrize("part", [terraform.write_aws, terraform.write_gcp, terraform.write_azure])
def test_terraform_says_above_a_resource_that_nobody_said_from_where(part: Any) -> None:
    text = part(every("worker", NOBODY_SAID)).text
    blocks = re.findall(r"(?m)^(.*)\nresource ", text)
    assert blocks and all(UNKNOWN in above for above in blocks)
    assert UNKNOWN not in part(every("worker")).text
