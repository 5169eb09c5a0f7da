"""Static addresses and MACs: of both families, and put back when the link does not carry."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different, held, ready
from tests.lab.golden import CONFIGURATION, MAC, PROFILE, PROFILE_PATH, Golden, golden_tree, worst_case
from tests.lab.identity import identity
from tests.lab.lan import Lan
from tests.lab.tree import Release

IPV6 = "fd77::10/64"
UUID = "5f0c1c1e-7b0e-4c55-9c1f-6d1b6c3c9a10"
CHANGE = """
import asyncio, sys
sys.path.append("/usr/lib/python3/dist-packages")
from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.bus import Bus
from nodeprep.host.network.networkmanager import NetworkManager
from nodeprep.steps import SetProfile

async def main():
    async with Bus() as bus:
        manager = NetworkManager(bus)
        if sys.argv[2].startswith("02"):  # the carrier goes after the activation, and before it is looked for
            prove = manager._prove
            async def wait_and_prove(*arguments):
                for _ in range(300):
                    if not (await asyncio.to_thread(links.link, "eth0")).carrier:
                        break
                    await asyncio.sleep(0.1)
                await prove(*arguments)
            manager._prove = wait_and_prove
        try:
            await manager.set_profile(SetProfile(sys.argv[1], "eth0", mac=sys.argv[2],
                                                             ipv4_addresses=("10.77.0.66/24",)))
        except HostError as error:
            print("put back:", error)
        else:
            print("kept")

asyncio.run(main())
"""


def with_ipv6(root: Path) -> None:
    """Furnish the worst common case with a static IPv6 address, and a pool of both families."""
    worst_case(root)
    both = CONFIGURATION.replace('"]', '", "fd77::100-fd77::1ff"]').replace(
        '"worker", "fd77::100-fd77::1ff"', '"worker"'
    )
    (root / "etc/nodeprep/nodeprep.toml").write_text(both)
    (root / PROFILE_PATH.lstrip("/")).write_text(
        PROFILE.replace("[ipv6]\nmethod=auto", f"[ipv6]\nmethod=manual\naddress1={IPV6}")
    )


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template with static addresses of both families."""
    return golden_tree(release, deb, store=store, name="ipv6", prepare=with_ipv6)


def addresses(clone: Clone, family: int) -> list[str]:
    """Return the global addresses of eth0."""
    listing = json.loads(clone.run("ip", f"-{family}", "-json", "address", "show", "dev", "eth0").stdout)
    return [entry["local"] for entry in listing[0]["addr_info"] if entry["scope"] == "global"]


def test_twins_with_static_addresses_of_both_families_get_one_of_each(template: Golden, make_clone: MakeClone) -> None:
    twins = [make_clone(f"twin-{number}", mac=MAC, layers=template.layers) for number in range(2)]
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        ready(twin)
    assert_pairwise_different(twins)
    for twin in twins:
        twin.wait_for(partial(addresses, twin, 6), 10)
    for family in (4, 6):
        assert len({address for twin in twins for address in addresses(twin, family)}) == 2
    assert all(address.startswith("fd77::") for twin in twins for address in addresses(twin, 6))


def test_a_full_pool_holds_the_node_and_says_so(template: Golden, make_clone: MakeClone, lan: Lan) -> None:
    keeper, twin = (make_clone(name, mac=MAC, layers=template.layers) for name in ("keeper", "twin"))
    keeper.boot()
    ready(keeper)
    twin.write(
        "/etc/nodeprep/nodeprep.toml", CONFIGURATION.replace("10.77.0.100-10.77.0.199", "10.77.0.240-10.77.0.241")
    )
    lan.client("10.77.0.240/24", "first")
    lan.client("10.77.0.241/24", "second")
    twin.boot(wait=False)
    document = held(twin)
    assert {row["subject"] for row in document["problems"]} >= {"ipv4-address"}
    assert addresses(twin, 4) == addresses(keeper, 4), "nothing was put in its place"


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "02:77:77:77:77:77"], ids=["refused", "no-carrier"])
def test_a_profile_is_put_back_when_the_link_does_not_carry(
    golden: Golden, make_clone: MakeClone, lan: Lan, mac: str
) -> None:
    machine = make_clone("machine", mac=MAC, layers=golden.layers)
    machine.boot()
    ready(machine)
    before, file = identity(machine), machine.read(PROFILE_PATH)
    machine.run("systemctl", "stop", "nodeprep.service")
    machine.write("/root/change.py", CHANGE)
    machine.run("systemd-run", "-q", "--unit=change", "/usr/bin/python3", "/root/change.py", UUID, mac)
    if mac.startswith("02"):
        machine.wait_for(
            lambda: lan.run("machine", "cat", "/sys/class/net/eth0/address").stdout.strip() == mac, 10, 0.01
        )
        lan.carrier("machine", present=False)

    def said() -> str:
        return machine.run("journalctl", "-b", "-o", "cat", "-u", "change.service").stdout

    machine.wait_for(lambda: "put back" in said() or "kept" in said(), 60)
    lan.carrier("machine", present=True)
    assert "put back" in said()
    machine.wait_for(lambda: identity(machine)["ipv4"] == before["ipv4"], 20)
    assert identity(machine)["mac"] == before["mac"]
    kept = [line for line in machine.read(PROFILE_PATH).splitlines() if "mac" in line or "address" in line]
    assert kept == [line for line in file.splitlines() if "mac" in line or "address" in line]
