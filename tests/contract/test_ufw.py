"""The ufw backend against ufw and the kernel of this machine, with a copy of its files in a namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.root, pytest.mark.skipif(not shutil.which("ufw"), reason="needs ufw")]
ENTER = """
set -e
cp -a /etc/ufw "$1/ufw"
cp -a /usr/share/ufw/iptables/user.rules /usr/share/ufw/iptables/user6.rules "$1/ufw/"
mount --bind "$1/ufw" /etc/ufw
cp -a /etc/default/ufw "$1/defaults"
sed -i 's/^IPV6=.*/IPV6=yes/' "$1/defaults"
mount --bind "$1/defaults" /etc/default/ufw
ufw --force enable
ufw allow 22/tcp
exec "$2" -c "$3"
"""
SCRIPT = """
import json, sys
sys.path.insert(0, {root!r})
from nodeprep.errors import HostError
from nodeprep.host.files import Files
from nodeprep.host.firewall.iptables import Iptables
from nodeprep.host.firewall.ufw import Ufw
from nodeprep.model import Opening

NODES = ("10.77.0.0/24", "10.8.0.7/32", "fd77::/64", "fd00::7/128")
KUBELET = Opening("tcp", 10250, 10250, "kubelet API", "worker", NODES, ("control-plane",))
PORTS = Opening("udp", 30000, 32767, "NodePort services; 100 % of them", "worker", (), ("clients",))
MOVED = Opening("udp", 20000, 20100, "NodePort services", "worker", (), ("clients",))
TUNNEL = Opening("ip-in-ip", 0, 0, "IP in IP", "calico", NODES, ("nodes",))
BGP = Opening("tcp", 179, 179, "BGP", "calico", NODES, ("nodes",))
API = Opening("tcp", 6443, 6443, "API server", "control-plane", ("0.0.0.0/0",), ("clients",))
FIRST, SECOND = (KUBELET, PORTS, TUNNEL, BGP), (API, MOVED)
firewall = Ufw(Files("test"), Iptables())
found = {{"active": firewall.active()}}
theirs = open("/etc/ufw/user.rules").read()

def held():
    paths = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
    rules = sorted(line for path in paths for line in open(path) if "###" in line)
    return rules, firewall._profiles()

firewall.apply(FIRST, "open", ())
found["first"] = firewall.present(FIRST, "open", ())
found["not second"] = not firewall.present(SECOND, "open", ())
before, refused, whole = held(), 0, Ufw._ufw
while True:
    left = refused + 1
    def failing(self, *words):
        global left
        left -= 1
        if not left:
            raise HostError("ufw: no")
        whole(self, *words)
    Ufw._ufw = failing
    try:
        firewall.apply(SECOND, "open", ())
    except HostError:
        refused += 1
        found[f"as before, refused {{refused}}"] = held() == before and firewall.present(FIRST, "open", ())
        continue
    break
Ufw._ufw = whole
found["refused often"] = refused > 3
found["second"] = firewall.present(SECOND, "open", ())
found["only second"] = "10250" not in str(held()) and not firewall._iptables.held()
firewall.remove()
found["removed"] = open("/etc/ufw/user.rules").read() == theirs and not held()[1]
print(json.dumps(found))
"""


def test_whatever_ufw_refuses_its_rules_are_those_of_before_and_in_the_end_ours_alone(tmp_path: Path) -> None:
    command = ("unshare", "--net", "--mount", "sh", "-c", ENTER, "sh", str(tmp_path), sys.executable)
    script = SCRIPT.format(root=str(ROOT))
    done = subprocess.run((*command, script), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert [what for what, held in found.items() if not held] == []
