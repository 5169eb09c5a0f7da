"""The disk of a template in a folder, the platform it runs on, and stand-ins for the programs of a boot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

MACHINE_ID = "0123456789abcdef0123456789abcdef"
KEY_TYPES = ("rsa", "ecdsa", "ed25519")

FILES: dict[str, tuple[bytes, int]] = {
    "/etc/machine-id": (f"{MACHINE_ID}\n".encode(), 0o444),
    "/var/lib/dbus/machine-id": (f"{MACHINE_ID}\n".encode(), 0o644),
    f"/var/log/journal/{MACHINE_ID}/system.journal": (b"what the template logged", 0o640),
    f"/var/log/journal/{MACHINE_ID}/user-1000.journal": (b"what its user logged", 0o640),
    "/var/lib/systemd/random-seed": (b"template's entropy" * 28, 0o600),
    "/usr/sbin/sshd": (b"", 0o755),
    "/etc/ssh/sshd_config": (b"# the operator's\n", 0o644),
    "/etc/ssh/ssh_host_ed25519_key-cert.pub": (b"ssh-ed25519-cert-v01@openssh.com template's\n", 0o644),
    "/var/lib/NetworkManager/secret_key": (b"nm-v2:template", 0o600),
    "/var/lib/NetworkManager/timestamps": (b"[timestamps]\n", 0o644),
    "/var/lib/NetworkManager/NetworkManager.state": (b"[main]\n", 0o644),
    "/var/lib/NetworkManager/internal-1111-eth0.lease": (b"ADDRESS=10.77.0.11\n", 0o600),
    "/var/lib/dhcp/dhclient.eth0.leases": (b"lease { fixed-address 10.77.0.11; }\n", 0o644),
    "/etc/systemd/network/10-lan.network": (b"[Match]\nMACAddress=52:54:00:00:00:01\n\n[Network]\nDHCP=yes\n", 0o644),
    "/etc/hostname": (b"template\n", 0o644),
    "/etc/mailname": (b"template.example.org\n", 0o644),
    "/etc/nvme/hostid": (b"template's host ID\n", 0o644),
    "/etc/nvme/hostnqn": (b"template's host NQN\n", 0o644),
    "/etc/ssl/private/ssl-cert-snakeoil.key": (b"private of template's snakeoil\n", 0o640),
    "/etc/ssl/certs/ssl-cert-snakeoil.pem": (b"certificate of template's snakeoil\n", 0o644),
    "/etc/group": (b"root:x:0:\nssl-cert:x:101:\n", 0o644),
    "/usr/sbin/make-ssl-cert": (b"#!", 0o755),
    "/usr/sbin/nvme": (b"\x7fELF", 0o755),
    "/etc/hosts": (b"127.0.0.1\tlocalhost\n127.0.1.1\ttemplate\n10.77.0.9\tstorage # the operator's\n", 0o644),
    **{
        path: content
        for kind in (*KEY_TYPES, "dsa")
        for path, content in {
            f"/etc/ssh/ssh_host_{kind}_key": (f"private of template's {kind}\n".encode(), 0o600),
            f"/etc/ssh/ssh_host_{kind}_key.pub": (f"ssh-{kind} template's-{kind} root@template\n".encode(), 0o644),
        }.items()
    },
}

UNUSED: dict[str, bytes] = {
    "/etc/cni/net.d/10-calico.conflist": b'{"plugins": [{"type": "calico", "nodename": "template"}]}',
    "/etc/default/kubelet": b'KUBELET_EXTRA_ARGS="--node-ip=10.77.0.11 --v=2 --hostname-override template"\n',
    "/etc/docker/key.json": b'{"kid": "template"}',
    "/etc/iscsi/initiatorname.iscsi": b"## comment\nInitiatorName=iqn.1993-08.org.debian:01:ccd067ea7e6\n",
    "/etc/lvm/devices/system.devices": b"VERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/sda2 PVID=a PART=2\n",
    "/etc/machine-info": b'PRETTY_HOSTNAME="The Template"\nDEPLOYMENT=production\n',
    "/etc/multipath/bindings": b"# Multipath bindings, Version : 1.0\nmpatha 3600a\nmpathb 3600b\n",
    "/etc/multipath/wwids": b"# Multipath wwids, Version : 1.0\n/3600a/\n/3600b/\n",
    "/etc/popularity-contest.conf": b'MY_HOSTID="6edfd5123abc460f845b8bcf9ee87e43"\nPARTICIPATE="no"\n',
    "/etc/sysctl.d/stable.conf": (
        b"net.ipv6.conf.all.forwarding = 1\nnet.ipv6.conf.default.stable_secret = 2001:db8::1\n"
    ),
    "/etc/systemd/network/lan.network": b"[Network]\nIPv6StableSecretAddress=2001:db8::2\n",
    "/etc/udev/rules.d/70-persistent-net.rules": b'SUBSYSTEM=="net", ATTR{address}=="52:54:00:FF:FF:FF", NAME="eth0"\n',
    "/var/cache/netdata/netdata-meta.db": b"template's node",
    "/var/cache/netdata/netdata-meta.db-wal": b"template's node, too",
    "/var/lib/calico/nodename": b"template",
    "/var/lib/chrony/chrony.drift": b"-12.3 0.4\n",
    "/var/lib/cni/networks/cbr0/10.244.0.2": b"template's pod",
    "/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid": b"4c4c4544-0042-3510-8052-b4c04f564231",
    "/var/lib/docker/engine-id": b"4c4c4544-0042-3510-8052-b4c04f564232",
    "/var/lib/longhorn/longhorn-disk.cfg": b'{"diskUUID": "template"}',
    "/var/lib/netdata/netdata.api.key": b"4c4c4544-0042-3510-8052-b4c04f564237",
    "/var/lib/netdata/registry/netdata.public.unique.id": b"4c4c4544-0042-3510-8052-b4c04f564233",
    "/var/lib/netdata/status-netdata.json": b'{"agent": {"id": "4c4c4544-0042-3510-8052-b4c04f564233"}}',
    "/var/lib/systemd/credential.secret": b"template's secret",
    "/var/lib/systemd/timers/stamp-fstrim.timer": b"",
}
"""What other services leave that are installed in a template, and not used."""

KEPT: dict[str, bytes] = {
    "/boot/efi/loader/entries/0123456789abcdef0123456789abcdef-6.1.0-1.conf": b"title Debian\n",
    "/etc/cloud/cloud.cfg.d/99-installer.cfg": b"datasource:\n  None:\n    metadata: {instance-id: template}\n",
    "/etc/crypttab": b"# comment\ndata UUID=4c4c4544 none luks\nswap /dev/vda3 /dev/urandom swap\n",
    "/etc/fstab": b"# comment\nUUID=9ac7dc1e / ext4 errors=remount-ro 0 1\ntmpfs /tmp tmpfs\n",
    "/etc/kernel/entry-token": f"{MACHINE_ID}\n".encode(),
    "/etc/kubernetes/kubelet.conf": b"clusters: []",
    "/etc/kubernetes/pki/ca.crt": b"the cluster's CA",
    "/var/lib/cloud/data/instance-id": b"i-template\n",
    "/var/lib/etcd/member/snap/db": b"the cluster's data",
    "/var/lib/kubelet/pki/kubelet-client-current.pem": b"template's certificate",
    "/etc/rancher/node/password": b"template's password",
    "/var/lib/rancher/k3s/agent/client-kubelet.key": b"template's key",
    "/var/lib/rancher/rke2/agent/client-kubelet.key": b"template's key",
    "/var/snap/microk8s/common/var/kubernetes/backend/cluster.yaml": b"- Address: template",
    **{f"/etc/chef/{name}": b"template's key" for name in ("client.pem", "validation.pem")},
    "/etc/krb5.keytab": b"template's account",
    "/etc/puppetlabs/puppet/ssl/certs/ca.pem": b"the authority's certificate",
    "/etc/puppetlabs/puppet/ssl/certs/template.pem": b"template's certificate",
    "/etc/puppetlabs/puppet/ssl/private_keys/template.pem": b"template's key",
    "/etc/salt/minion_id": b"template",
    "/etc/salt/pki/minion/minion.pem": b"template's key",
    "/etc/salt/pki/minion/minion.pub": b"template's public key",
    "/etc/salt/pki/minion/minion_master.pub": b"the master's key",
    "/etc/wireguard/wg0.conf": b"[Interface]\nPrivateKey = gI6EdUSYvn8ugXOt8QQD6Yc+JyiZxIhp3GInSWRfWGE=\n",
    "/etc/zabbix/zabbix_agentd.conf": b"# Hostname\nServer=10.0.0.1\nHostname=template\nHostnameItem=system.hostname\n",
    "/opt/Elastic/Agent/fleet.enc": b"template's enrolment",
    "/opt/consul/node-id": b"4c4c4544-0042-3510-8052-b4c04f564234",
    "/opt/consul/raft/raft.db": b"the cluster's log",
    "/opt/consul/serf/local.keyring": b"the cluster's key",
    "/opt/nomad/data/client/client-id": b"4c4c4544-0042-3510-8052-b4c04f564235",
    "/opt/nomad/data/client/secret-id": b"template's secret",
    "/opt/nomad/data/client/state.db": b"template's allocations",
    "/var/lib/docker/swarm/certificates/swarm-node.key": b"template's key",
    "/var/lib/docker/swarm/docker-state.json": b"{}",
    "/var/lib/landscape/client/broker.bpickle": b"template's registration",
    "/var/lib/landscape/client/messages/0/0": b"template's message",
    "/var/lib/snapd/device/private-keys-v1/key": b"template's key",
    "/var/lib/snapd/state.json": (
        b'{"data": {"auth": {"device": {"brand": "generic", "model": "generic-classic", "serial": "1", "key-id": "k"}},'
        b' "snaps": {"core22": {}}}}'
    ),
    "/var/lib/sss/secrets/.secrets.mkey": b"template's master key",
    "/var/lib/tailscale/tailscaled.state": b'{"_machinekey": "template\'s key", "_current-profile": "p"}',
    "/var/lib/teleport/host_uuid": b"4c4c4544-0042-3510-8052-b4c04f564236",
    "/var/lib/teleport/proc/sqlite.db": b"template's certificates",
    "/var/lib/ubuntu-advantage/private/machine-token.json": b'{"machineToken": "template\'s token"}',
    "/var/ossec/etc/client.keys": b"001 template any key",
}
"""What nobody renews unasked: memberships, enrolments, and what cannot be changed from inside."""


def put(root: Path, path: str, content: bytes, mode: int = 0o644) -> None:
    """Write a file below the root, with its folders."""
    real = Path(f"{root}{path}")
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_bytes(content)
    real.chmod(mode)


def make_template(root: Path) -> None:
    """Put a template's files below the root."""
    for path, (content, mode) in FILES.items():
        put(root, path, content, mode)


def make_everything(root: Path) -> None:
    """Put below the root what a template can have of each artefact."""
    make_template(root)
    for path, content in (UNUSED | KEPT).items():
        put(root, path, content)


def make_platform(sysfs: Path, uuid: str, mac: str) -> None:
    """Put below sysfs what a hypervisor shows."""
    put(sysfs, "/class/dmi/id/product_uuid", f"{uuid}\n".encode())
    put(sysfs, "/class/net/eth0/address", f"{mac}\n".encode())
    put(sysfs, "/class/net/eth0/addr_assign_type", b"0\n")


def contents(root: Path) -> set[bytes]:
    """Return what lies in any file below the root."""
    found = set()
    for path in files(root):
        with open(path, "rb") as file:
            found.add(file.read())
    return found


def files(root: Path) -> Iterator[str]:
    """Yield the regular files below the root."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = f"{folder}/{name}"
            if not os.path.islink(path):
                yield path


class Programs:
    """What programs.run would run: ssh-keygen -A and openssl make marked pairs, systemctl is written down; no other.

    Each file that ssh-keygen makes is written through os.open, so that a power cut may come between any two of them.
    """

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self._made = 0

    def run(self, argv: tuple[str, ...], timeout_s: float) -> str:
        self.ran.append(argv)
        if argv[0] == "ssh-keygen":
            assert argv[:4] == ("ssh-keygen", "-q", "-A", "-f"), argv
            self._made += 1
            for kind in KEY_TYPES:
                mark = f"{kind}-{self._made}-{os.urandom(4).hex()}"
                write(f"{argv[4]}/etc/ssh/ssh_host_{kind}_key", f"private of {mark}\n".encode(), 0o600)
                write(f"{argv[4]}/etc/ssh/ssh_host_{kind}_key.pub", f"ssh-{kind} {mark} root@clone\n".encode(), 0o644)
        elif argv[0] == "openssl":
            self._made += 1
            options = dict(pairwise(argv))
            mark = f"snakeoil-{self._made}-{os.urandom(4).hex()}"
            write(options["-keyout"], f"private of {mark}\n".encode(), 0o600)
            write(options["-out"], f"certificate of {mark}\n".encode(), 0o644)
        else:
            assert argv[0] in ("systemctl", "udevadm", "chgrp", "chmod"), f"a program that no test expects: {argv}"
        return ""


def write(path: str, content: bytes, mode: int) -> None:
    """Write a file that is not there yet, without syncing it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def pairs(root: Path) -> dict[str, tuple[str, str | None]]:
    """Return host key type → what its private half and its public half are marked with."""
    found: dict[str, tuple[str, str | None]] = {}
    for private in sorted((root / "etc/ssh").glob("ssh_host_*_key")):
        public = private.with_name(f"{private.name}.pub")
        kind = private.name.split("_")[2]
        mark = private.read_text().strip().removeprefix("private of ")
        found[kind] = (mark, public.read_text().split()[1] if public.exists() else None)
    return found
