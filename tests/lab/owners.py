"""The owners of identities: Debian's own packages, what an operator sets in them, and what each says of itself.

What is asked is the running daemon or the tool that uses the identity, and not the file that nodeprep renews. Of owners
that Debian does not have, or that no container can run, there is what their own documentation shows (tests/fakes). The
kernel of a lab need not have iSCSI, NVMe over fabrics and device-mapper: there the tool that reads the file is asked.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes import disk
from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.expectations import ready
from tests.lab.golden import left_a_lease, worst_case
from tests.lab.traces import administer
from tests.lab.tree import Release

COMMON = (
    "chrony",
    "docker.io",
    "nvme-cli",
    "open-iscsi",
    "popularity-contest",
    "postfix",
    "rsyslog",
    "ssl-cert",
    "wireguard-tools",
    "zabbix-agent",
)
PACKAGES = {
    Release.BOOKWORM: (*COMMON, "netdata-core"),
    Release.TRIXIE: COMMON,  # has no Netdata
}
DAEMONS = ("chrony.service", "containerd.service", "docker.service", "postfix.service", "ssh.service")
NETDATA = "netdata.service"
HELD = "zabbix-agent.service"

NO_DEVICES = ("nvmf-autoconnect.service",)
"""Fails where the kernel has no NVMe over fabrics."""
DOCKER = {"bridge": "none", "ip-forward": False, "ip6tables": False, "iptables": False, "storage-driver": "vfs"}
"""What dockerd cannot have in a container: a writable /proc/sys, and an overlay over an overlay."""
NO_CLOCK = 'DAEMON_OPTS="-F 1 -x"\n'
"""The clock of a container is the host's, and stays as it is."""

MAIL = "golden.example.org"
KEY, CERTIFICATE = "/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem"
POSTFIX = (
    "myorigin=/etc/mailname",
    "smtpd_tls_security_level=may",
    f"smtpd_tls_key_file={KEY}",
    f"smtpd_tls_cert_file={CERTIFICATE}",
)
DRIFT, PPM = "/var/lib/chrony/chrony.drift", "12.3"
ZABBIX = "/etc/zabbix/zabbix_agentd.conf.d/name.conf"
RULES = "/etc/udev/rules.d/70-persistent-net.rules"
WIREGUARD = "/etc/wireguard/wg0.conf"

REAL = (
    "/etc/docker/",
    "/etc/iscsi/",
    "/etc/popularity-contest.conf",
    "/var/lib/chrony/",
    "/var/lib/containerd/",
    "/var/lib/docker/",
    "/var/lib/systemd/",
)
"""Of what there are real ones."""
ENROLMENTS = (
    "/etc/chef/",
    "/etc/krb5.keytab",
    "/etc/puppetlabs/",
    "/etc/salt/",
    "/opt/",
    "/var/lib/landscape/",
    "/var/lib/snapd/",
    "/var/lib/sss/",
    "/var/lib/tailscale/",
    "/var/lib/teleport/",
    "/var/lib/ubuntu-advantage/",
    "/var/ossec/",
)
ENROLLED = {
    *("chef-client", "consul", "elastic-agent", "landscape", "machine-account", "nomad", "puppet-agent", "salt-minion"),
    *("tailscale", "teleport", "ubuntu-pro", "wazuh-agent", "wireguard", "zabbix-agent"),
}
"""Class C: held or told on a copy, and never changed."""

# What nodeprep reads, run by the machine's own Python: links of a disk end where the machine has its root.
READ = """
import json
from nodeprep.artefacts import catalogue
from nodeprep.host.local import LocalMachine
from nodeprep.observe import observe
from nodeprep.stamp import fingerprints, read
machine = LocalMachine("lab")
stamp = read(machine)
print(json.dumps([
    [a.name, a.kind.value, sorted(values) if isinstance(values, frozenset) else [],
     a.volatile or not values or (stamp is not None and stamp.artefacts.get(a.name) == fingerprints(a.name, values))]
    for a in catalogue() for values in [observe((a,), machine)[a.name]]
]))
"""

DOCKER_SAYS = """
import json, socket
s = socket.socket(socket.AF_UNIX)
s.connect("/run/docker.sock")
s.sendall(b"GET /info HTTP/1.0\\r\\n\\r\\n")
print(json.loads(s.makefile("rb").read().partition(b"\\r\\n\\r\\n")[2])["ID"])
"""
POSTFIX_SAYS = """
import hashlib, smtplib, ssl
with smtplib.SMTP("127.0.0.1") as mail:
    mail.starttls(context=ssl._create_unverified_context())
    print(hashlib.sha256(mail.sock.getpeercert(True)).hexdigest())
"""
NETDATA_SAYS = """
import json, sys, urllib.request
print(json.dumps(json.load(urllib.request.urlopen("http://127.0.0.1:19999/api/v1/info"))[sys.argv[1]]))
"""


def furnish(root: Path) -> None:
    """Set before the first boot what a container needs, and a platform that tells machines apart."""
    worst_case(root)
    platform.point_there(root)
    (root / "etc/docker/daemon.json").write_text(json.dumps(DOCKER))
    (root / "etc/default/chrony").write_text(NO_CLOCK)
    for unit in NO_DEVICES:
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")


def live(machine: Clone) -> None:
    """Have the owners make their identities, once the template has its own, and wait until its stamp knows them."""
    ready(machine)
    left_a_lease(machine)
    real = (*REAL, *(("/var/cache/netdata/", "/var/lib/netdata/") if machine.exists("/usr/sbin/netdata") else ()))
    for path, content in {**disk.UNUSED, **disk.KEPT}.items():
        if (path in disk.UNUSED and not path.startswith(real)) or path.startswith(ENROLMENTS):
            machine.write(path, content.decode())
    machine.write(RULES, f'SUBSYSTEM=="net", ATTR{{address}}=="{machine.mac}", NAME="eth0"\n')
    machine.write("/etc/mailname", f"{MAIL}\n")
    machine.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {MAIL} {MAIL.partition('.')[0]}\n")
    machine.run("postconf", "-e", *POSTFIX)
    machine.run("postconf", "-X", "myhostname")
    machine.run("systemctl", "restart", "postfix.service")
    machine.write(ZABBIX, "Hostname=golden\n")
    machine.write(WIREGUARD, f"[Interface]\nPrivateKey = {machine.run('wg', 'genkey').stdout.strip()}\n", 0o600)
    machine.run("systemd-creds", "setup")
    machine.run("systemctl", "stop", "chrony.service")
    machine.write(DRIFT, f"{PPM} 0.4\n", 0o640)
    machine.run("chown", "_chrony:", DRIFT)
    machine.run("systemctl", "start", "chrony.service")
    said(machine)  # containerd makes its UUID when it is asked
    if machine.exists("/usr/sbin/netdata"):
        # It writes down the name that the machine has when it starts, some time after that.
        machine.run("systemctl", "restart", NETDATA)
        hostname = machine.read("/etc/hostname").strip()
        machine.wait_for(("grep", "-qaF", "-e", hostname, "-r", "/var/cache/netdata/"), 120, 0.5)
    machine.wait_for(lambda: not [name for name, *_, known in _read(machine) if not known], 60, 1.0)


def _read(machine: Clone) -> list[tuple[str, str, list[str], bool]]:
    """Return artefact, class, values, and whether the stamp knows them, for each of the catalogue."""
    rows: list[tuple[str, str, list[str], bool]] = json.loads(machine.run("python3", "-c", READ).stdout)
    return rows


def offline(machine: Clone, *kinds: str) -> dict[str, set[str]]:
    """Return the same of the disk of a machine that is off, whose links are not there."""
    told = json.loads(administer("chroot", str(machine.root), "python3", "-c", READ))
    return {name: set(values) for name, kind, values, _ in told if kind in kinds}


def artefacts(machine: Clone, *kinds: str) -> dict[str, set[str]]:
    """Return artefact → the values that a machine has of it, for those of these classes."""
    return {name: set(values) for name, kind, values, _ in _read(machine) if kind in kinds}


def said(machine: Clone) -> dict[str, str]:
    """Return what the owners themselves say; each is asked until its daemon answers."""
    found = {
        "containerd": _asked(machine, "sh", "-c", "ctr version | sed -n 's/.*UUID: //p'"),
        "docker": _asked(machine, "python3", "-c", DOCKER_SAYS),
        "certificate of postfix": _asked(machine, "python3", "-c", POSTFIX_SAYS),
        "nvme": _asked(machine, "nvme", "show-hostnqn"),
        "popularity contest": _asked(machine, "sh", "-c", "popularity-contest | sed -n '1s/.* ID:\\([^ ]*\\).*/\\1/p'"),
        "iscsi": _initiator(machine),
    }
    if machine.exists("/usr/sbin/netdata"):
        found["netdata"] = _asked(machine, "python3", "-c", NETDATA_SAYS, "uid")
    return found


def names(machine: Clone) -> set[str]:
    """Return under which names those tell of this machine that take its name at their start."""
    machine.run("logger", "-t", "asked", "under-which-name")
    # "Nov 27 12:00:00 NAME asked: under-which-name", or the time as in RFC 3339
    logged = _asked(machine, "sed", "-nE", r"s/^.* (\S+) asked: under-which-name$/\1/p", "/var/log/syslog")
    if not machine.exists("/usr/sbin/netdata"):
        return set(logged.split())
    return {*logged.split(), *json.loads(_asked(machine, "python3", "-c", NETDATA_SAYS, "mirrored_hosts"))}


def drift(machine: Clone) -> str:
    """Return the frequency by which chronyd corrects the clock."""
    return _asked(machine, "sh", "-c", "chronyc tracking | sed -n 's/^Frequency *: //p'")


def pair_matches(machine: Clone) -> bool:
    """Whether key and certificate of the snakeoil pair belong together, and may be read by whom Debian lets."""
    of_key = machine.run("openssl", "pkey", "-in", KEY, "-pubout").stdout
    of_certificate = machine.run("openssl", "x509", "-in", CERTIFICATE, "-noout", "-pubkey").stdout
    modes = machine.run("stat", "-c", "%a %U:%G", KEY, CERTIFICATE).stdout.split("\n")[:2]
    return of_key == of_certificate and modes == ["640 root:ssl-cert", "644 root:root"]


def certified(machine: Clone) -> str:
    """Return the name in the snakeoil certificate."""
    subject = machine.run("openssl", "x509", "-in", CERTIFICATE, "-noout", "-subject", "-nameopt", "multiline").stdout
    return subject.rpartition("=")[2].strip()


def _asked(machine: Clone, *argv: str) -> str:
    def answer() -> str:
        return machine.run(*argv).stdout.strip()

    words: str = machine.wait_for(answer, 60, 0.5)
    return words


def _initiator(machine: Clone) -> str:
    """Return the initiator name after what iscsid.service does before iscsid: it accepts a name, or makes one."""
    machine.run("/usr/lib/open-iscsi/startup-checks.sh")
    (name,) = (
        line.partition("=")[2]
        for line in machine.read("/etc/iscsi/initiatorname.iscsi").splitlines()
        if line.startswith("InitiatorName=")
    )
    return name
