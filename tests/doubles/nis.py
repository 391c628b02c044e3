"""A real NIS server: rpcbind and ypserv in a network and mount namespace of their own, with maps of the distribution's own making."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from portico.directories import crypt3

DOMAIN = "vdilab"
HASHED = {
    # Of "Passw0rd-<name>", by openssl passwd: SHA-512 and MD5; DES knows eight characters, so "Passw0rd".
    "nina": "-6", "omar": "-1",
}  # fmt: skip


class Nis:
    """A running server at an address of a network of its own. Needs root."""

    def __init__(self, number: int, *, merged: bool = True) -> None:
        """Name it; `merged` maps hold the hashes themselves, else they stand in a shadow map for ports below 1024 alone."""
        self.namespace, self.ours = f"portico-nis{number}", f"pn{number}a"
        self.outside, self.address = f"10.214.{number}.1", f"10.214.{number}.2"
        self.merged = merged
        self.home = Path(tempfile.mkdtemp(prefix="portico-nis-"))
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Make the network and the maps, and wait until ypserv is registered. Raises RuntimeError with its own words."""
        self._write()
        self._network()
        self.up()

    def up(self) -> None:
        """Start it as it is."""
        (self.home / "ready").unlink(missing_ok=True)
        # Everything lives in one process's mount namespace, which hides /run and /var/yp and ends with it.
        script = (
            "set -e\n"
            f"cp /var/yp/Makefile {self.home}/yp/\n"
            f"printf '255.0.0.0 127.0.0.0\\n255.255.255.0 10.214.0.0\\n0.0.0.0 0.0.0.0\\n' >{self.home}/yp/securenets\n"
            f"mount --bind {self.home}/yp /var/yp\nmount -t tmpfs tmpfs /run\nmkdir -p /run/rpcbind\n"
            f"touch /etc/ypserv.conf\nmount --bind {self.home}/ypserv.conf /etc/ypserv.conf\n"
            f"mkdir -p /var/yp/{DOMAIN}\ncd /var/yp\n"
            f"make -s -C {DOMAIN} -f ../Makefile DOMAIN={DOMAIN} LOCALDOMAIN={DOMAIN} DOM={DOMAIN} YPSRCDIR={self.home}/src"
            f" YPPWDDIR={self.home}/src MINUID=1000 MINGID=1000 NOPUSH=true NOMAP= MERGE_PASSWD={str(self.merged).lower()}"
            " MERGE_GROUP=false passwd group shadow || true\n"
            "rpcbind\n"
            "until rpcinfo -p 127.0.0.1 >/dev/null 2>&1; do sleep 0.1; done\n"
            "ypserv -f -p 834 & server=$!\n"
            f"until rpcinfo -p 127.0.0.1 2>/dev/null | grep -q ypserv; do sleep 0.1; done\n"
            f"touch {self.home}/ready\nwait $server\n"
        )
        log = (self.home / "log").open("wb")
        self.processes.append(
            subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc",
                 "--propagation", "private", "sh", "-c", script],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )
        )  # fmt: skip
        log.close()
        end = time.monotonic() + 60
        while not (self.home / "ready").exists():
            if self.processes[0].poll() is not None or time.monotonic() > end:
                words = (self.home / "log").read_text("utf-8", "replace")[-2000:]
                self.wipe()
                raise RuntimeError(f"ypserv did not start: {words}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; its namespaces of mounts and processes go with it."""
        self.go_on()
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()

    def pause(self) -> None:
        """Let nothing through to it, as a network does that swallows packets."""
        _ip("-n", self.namespace, "link", "set", "eth0", "down")

    def go_on(self) -> None:
        """Let it be reached again."""
        _ip("-n", self.namespace, "link", "set", "eth0", "up")

    def wipe(self) -> None:
        """End it and remove all of it."""
        self.stop()
        _ip("netns", "del", self.namespace)
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def settings(self) -> dict[str, str]:
        """What a directory of ours is told of it."""
        return {"servers": self.address, "domain": DOMAIN}

    def password(self, name: str) -> str:
        """Return the password of one of its people."""
        return f"Passw0rd-{name}"

    def _write(self) -> None:
        source = self.home / "src"
        (self.home / "yp").mkdir()
        source.mkdir()
        hashes = {name: _hashed(kind, f"Passw0rd-{name}") for name, kind in HASHED.items()}
        hashes |= {
            "yess": crypt3.make("Passw0rd-yess", "$y$"),
            "lock": "!" + _hashed("-6", "Passw0rd-lock"),
            "ddes": crypt3.make("Passw0rd", ""),
        }
        people = [
            f"{name}:x:{2001 + place}:2100:{name.capitalize()} Nis,,,:/home/{name}:/bin/bash"
            for place, name in enumerate(hashes)
        ]
        shadow = [f"{name}:{hashed}:19000:0:99999:7:::" for name, hashed in hashes.items()]
        (source / "passwd").write_text("\n".join(people) + "\n")
        (source / "shadow").write_text("\n".join(shadow) + "\n")
        (source / "shadow").chmod(0o600)
        (source / "group").write_text("vdiusers:x:2100:nina,omar\nadmins:x:2101:nina\n")
        (source / "gshadow").write_text("")
        (self.home / "ypserv.conf").write_text(
            "files: 30\nslp: no\nxfr_check_port: yes\n* : * : shadow.byname : port\n"
        )

    def _network(self) -> None:
        _ip("netns", "del", self.namespace)
        for words in (
            ("netns", "add", self.namespace), ("-n", self.namespace, "link", "set", "lo", "up"),
            ("link", "add", self.ours, "type", "veth", "peer", "name", "eth0", "netns", self.namespace),
            ("addr", "add", f"{self.outside}/30", "dev", self.ours), ("link", "set", self.ours, "up"),
            ("-n", self.namespace, "addr", "add", f"{self.address}/30", "dev", "eth0"),
            ("-n", self.namespace, "link", "set", "eth0", "up"),
        ):  # fmt: skip
            _ip(*words)


def _hashed(kind: str, password: str) -> str:
    return (
        subprocess.run(["openssl", "passwd", kind, password], check=True, capture_output=True).stdout.decode().strip()
    )


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
