"""An etcd of Debian (etcd(1)), for as long as a test runs; it dies with this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.lab.traces import LabError

PASSWORD = "correct horse battery staple"
PREFIX = "/nodeprep/"


class EtcdServer:
    """A single member that listens on one address, there between `with` and its end; its data outlives `stop`."""

    def __init__(
        self, folder: Path, address: str, *, namespace: str = "", port: int = 2379, tls: tuple[str, ...] = ()
    ) -> None:
        """Name its folder, its address in a network namespace, and options of TLS for clients (--cert-file=…)."""
        self._folder = folder
        self._enter = ("ip", "netns", "exec", namespace) if namespace else ()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{address}:{port}"
        self._peer = f"http://{address}:{port + 1}"
        self._tls = tls
        self._certificate: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EtcdServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, and wait until it has elected itself."""
        urls = (
            *(f"--listen-client-urls={self.url}", f"--advertise-client-urls={self.url}"),
            *(f"--listen-peer-urls={self._peer}", f"--initial-advertise-peer-urls={self._peer}"),
            *(f"--initial-cluster=default={self._peer}", f"--data-dir={self._folder / 'data'}"),
        )
        command = (*self._enter, "setpriv", "--pdeathsig", "KILL", "etcd", *urls, *self._tls)
        environment = {"PATH": os.environ["PATH"], "ETCD_UNSUPPORTED_ARCH": os.uname().machine}
        with (self._folder / "etcd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 30
        while self.ctl("endpoint", "health", check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"etcd did not start: {(self._folder / 'etcd.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def want_certificates_of(self, ca: Path) -> None:
        """Want certificates of its clients from now on, by that CA, which etcdctl's own is by too."""
        both = self._folder / "clients.pem"
        # The JSON gateway is a client of etcd itself, and shows it the server's certificate.
        both.write_bytes(ca.read_bytes() + Path(self._tls[0].partition("=")[2]).read_bytes())
        self._tls += (f"--trusted-ca-file={both}", "--client-cert-auth")
        self._certificate = (f"--cert={ca}", f"--key={ca.with_suffix('.key')}")

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._process = None

    def pause(self) -> None:
        """Have it take connections and say nothing: from now on, as all its threads have stopped (waitid(2))."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        # The signal only tells them to: on a busy machine one of them may answer a while longer.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Have it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def ctl(self, *words: str, check: bool = True, user: str = "") -> subprocess.CompletedProcess[str]:
        """Run etcdctl(1) on it."""
        tls = tuple(f"--cacert={word.partition('=')[2]}" for word in self._tls if word.startswith("--cert-file="))
        login = (f"--user={user}:{PASSWORD}",) if user else ()
        command = (*self._enter, "etcdctl", f"--endpoints={self.url}", "--dial-timeout=2s", *tls, *self._certificate)
        environment = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3"}
        done = subprocess.run(
            (*command, *login, *words), capture_output=True, text=True, timeout=30, check=False, env=environment
        )
        if check and done.returncode:
            raise LabError(f"etcdctl {' '.join(words)}: {done.stderr}")
        return done

    def with_users(self, prefix: str = PREFIX) -> None:
        """Give it users: root, `nodes`, who may use the keys under the prefix, and `others`, who may not."""
        for name in ("root", "nodes", "others"):
            self.ctl("user", "add", f"{name}:{PASSWORD}")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("role", "add", "nodes")
        self.ctl("role", "grant-permission", "nodes", "readwrite", "--prefix=true", prefix)
        self.ctl("user", "grant-role", "nodes", "nodes")
        self.ctl("auth", "enable")

    def revision(self) -> int:
        """Return how often anything was written."""
        (row,) = json.loads(self.ctl("endpoint", "status", "-w", "json").stdout)
        return int(row["Status"]["header"]["revision"])

    def claims(self, kind: str = "", user: str = "") -> dict[str, str]:
        """Return key → owner of what is claimed, of one kind or of all."""
        lines = self.ctl("get", "--prefix", f"{PREFIX}claim/{kind}", user=user).stdout.splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=True))
