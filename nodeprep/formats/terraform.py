"""Terraform: the clouds' rules as resources of their providers, in HCL; each part by itself, or all three.

`aws_vpc_security_group_ingress_rule`, `google_compute_firewall`, `azurerm_network_security_rule`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from nodeprep.formats import aws, azure, gcp
from nodeprep.formats.sheet import UNKNOWN, Sheet, Written


class Raw(str):
    """An expression, which is written as it is."""

    __slots__ = ()


def write(sheet: Sheet) -> Written:
    """Return the parts of all three clouds."""
    parts = (write_aws(sheet), write_gcp(sheet), write_azure(sheet))
    return Written("\n".join(part.text for part in parts), tuple(each for part in parts for each in part.left_out))


def write_aws(sheet: Sheet) -> Written:
    """Return rules of the security group that the variable names, one for each source."""
    blocks = [_variable("security_group_id")]
    for permission in aws.permissions(sheet):
        for ranges, cidr_key, argument in (
            ("IpRanges", "CidrIp", "cidr_ipv4"),
            ("Ipv6Ranges", "CidrIpv6", "cidr_ipv6"),
        ):
            cidrs = permission.get(ranges, [])
            if not cidrs:
                continue
            ports = (
                {"from_port": permission["FromPort"], "to_port": permission["ToPort"]}
                if "FromPort" in permission
                else {}
            )
            numbers = "_".join(dict.fromkeys(str(port) for port in ports.values() if port != aws.ALL_CODES))
            name = "_".join(filter(None, ("nodeprep", permission["IpProtocol"], numbers, argument[-4:])))
            body: dict[str, object] = {
                "for_each": Raw(f"toset({_value(tuple(cidr[cidr_key] for cidr in cidrs))})"),
                "security_group_id": Raw("var.security_group_id"),
                "ip_protocol": permission["IpProtocol"],
                **ports,
                argument: Raw("each.value"),
                "description": cidrs[0]["Description"],
            }
            known = UNKNOWN not in cidrs[0]["Description"]
            blocks.append(_resource("aws_vpc_security_group_ingress_rule", name, body, known=known))
    return Written("\n".join(("# AWS", *blocks, "")))


def write_gcp(sheet: Sheet) -> Written:
    """Return rules of the network that the variable names."""
    blocks = [_variable("network")]
    for rule in gcp.rules(sheet):
        body: dict[str, object] = {
            "name": rule.name,
            "network": Raw("var.network"),
            "direction": "INGRESS",
            "description": rule.description,
            "source_ranges": rule.sources,
            "target_tags": (rule.tag,),
        }
        allow = [{"protocol": protocol, **({"ports": ports} if ports else {})} for protocol, ports in rule.allowed]
        blocks.append(_resource("google_compute_firewall", rule.name, body, {"allow": allow}, known=rule.known))
    left_out = gcp.echoes(sheet)
    return Written("\n".join(("# GCP", *(f"# {each}" for each in left_out), *blocks, "")), left_out)


def write_azure(sheet: Sheet) -> Written:
    """Return rules of the group that the variables name."""
    blocks = [_variable("resource_group_name"), _variable("network_security_group_name")]
    for rule in azure.rules(sheet):
        anyone = rule.sources == ("*",)
        body: dict[str, object] = {
            "name": rule.name,
            "resource_group_name": Raw("var.resource_group_name"),
            "network_security_group_name": Raw("var.network_security_group_name"),
            "priority": rule.priority,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": rule.protocol,
            "source_port_range": "*",
            "destination_address_prefix": "*",
            "description": rule.description,
        }
        # One is a text, several are a list, and "*" is a text only.
        body |= {"source_address_prefix": "*"} if anyone else {"source_address_prefixes": rule.sources}
        body |= {"destination_port_range": "*"} if rule.ports == ("*",) else {"destination_port_ranges": rule.ports}
        blocks.append(_resource("azurerm_network_security_rule", rule.name, body, known=not anyone))
    left_out = azure.unsaid(sheet)
    return Written("\n".join(("# Azure", *(f"# {each}" for each in left_out), *blocks, "")), left_out)


def _variable(name: str) -> str:
    return f'\nvariable "{name}" {{\n  type = string\n}}'


def _resource(
    kind: str,
    name: str,
    body: Mapping[str, object],
    blocks: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
    *,
    known: bool = True,
) -> str:
    lines = [f"  {key} = {_value(value)}" for key, value in body.items()]
    for block, items in (blocks or {}).items():
        for item in items:
            lines += [f"  {block} {{", *(f"    {key} = {_value(value)}" for key, value in item.items()), "  }"]
    note = "" if known else f"# {UNKNOWN}\n"
    return "\n".join((f'\n{note}resource "{kind}" "{name.replace("-", "_")}" {{', *lines, "}"))


def _value(value: object) -> str:
    if isinstance(value, Raw | int):
        return str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    # Of what JSON escapes in a text HCL knows all. It reads templates besides: none is made of what looks like one.
    return json.dumps(value, ensure_ascii=False).replace("${", "$(").replace("%{", "%(")
