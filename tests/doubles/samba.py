"""A real domain: Samba as an Active Directory controller on a loopback address of its own, with people in every state."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.doubles import pausing
from tests.doubles.authority import Authority

ADMINISTRATOR_PASSWORD = "Adm1n-Passw0rd"
DEADLINE = 180  # seconds; a loaded machine is slow
# What the distribution's own configuration brings in and must not: the system's accounts, and a DNS server outside.
_STRANGE = (
    "dns forwarder", "log file", "logging", "max log size", "panic action", "obey pam", "pam password", "passwd chat", "passwd program",
    "unix password sync", "map to guest", "usershare", "server services", "tls ",
)  # fmt: skip
# One process for all of them: each start of samba-tool costs a second or more. Runs under the system's Python, which has the bindings.
_SEED = '''
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
lp = LoadParm(); lp.load(sys.argv[1])
db = SamDB(url=lp.private_path("sam.ldb"), session_info=system_session(), lp=lp)
base, domain = db.domain_dn(), sys.argv[2]
db.modify_ldif(f"""dn: {base}
changetype: modify
replace: pwdProperties
pwdProperties: 0
replace: minPwdLength
minPwdLength: 8
replace: minPwdAge
minPwdAge: 0
replace: pwdHistoryLength
pwdHistoryLength: 0
replace: lockoutThreshold
lockoutThreshold: 3
replace: lockoutDuration
lockoutDuration: -18000000000
replace: lockOutObservationWindow
lockOutObservationWindow: -18000000000
""")
for unit in ("People", "Groups"):
    db.create_ou(f"OU={unit},{base}")
for name in sys.argv[3].split(","):
    db.newuser(name, f"Passw0rd-{name}-{domain.split('.')[0]}", userou="OU=People", givenname=name.capitalize(), surname=domain.split(".")[0].capitalize(),
               mailaddress=f"{name}@{domain}", useusernameascn=True)
for group in ("VDI-Users", "Engineers", "Backend"):
    db.newgroup(group, groupou="OU=Groups")
db.add_remove_group_members("VDI-Users", ["Engineers", "bob"], add_members_operation=True)
db.add_remove_group_members("Engineers", ["Backend"], add_members_operation=True)
db.add_remove_group_members("Backend", ["alice"], add_members_operation=True)
def change(name, attribute, value):
    dn = f"CN={name},OU=People,{base}"
    colon = "::" if attribute == "logonHours" else ":"
    db.modify_ldif(f"dn: {dn}\\nchangetype: modify\\nreplace: {attribute}\\n{attribute}{colon} {value}\\n")
change("alice", "department", "Research")
change("dave", "userAccountControl", "514")
change("erin", "accountExpires", "131000000000000000")
change("mike", "pwdLastSet", "0")
change("hank", "logonHours", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
change("wendy", "userWorkstations", "PC-ONLY")
change("carol", "userPrincipalName", "carol.c@corp.example")
'''
PEOPLE = ("svc-broker", "alice", "bob", "dave", "erin", "louis", "mike", "hank", "wendy", "carol", "nomad", "paula")
PWD_LAST_SET = "local_oid:1.3.6.1.4.1.7165.4.3.20:0"  # with this control of Samba's, pwdLastSet is taken as it is


class Samba:
    """A running domain controller. Needs root, and the packages that tools/setup installs for tests."""

    def __init__(self, address: str, domain: str, netbios: str) -> None:
        """Name it; `start` makes it. `address` is a loopback address that nothing else uses."""
        self.address, self.domain, self.netbios = address, domain, netbios
        self.host = f"dc.{domain}"
        self.base = ",".join(f"DC={part}" for part in domain.split("."))
        self.home = Path(tempfile.mkdtemp(prefix="portico-dc-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.authority = Authority(self.home)

    def start(self) -> None:
        """Provision the domain, put people into it, and wait until it answers. Raises RuntimeError with its own words."""
        self._provision()
        self._configure()
        self._run("/usr/bin/python3", "-c", _SEED, str(self.configuration), self.domain, ",".join(PEOPLE))
        old = f"dn: {self.dn('paula')}\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 131000000000000000\n"
        self.change(old, f"--controls={PWD_LAST_SET}")
        self.up()

    def up(self) -> None:
        """Start it, provisioned as it is."""
        command = 'mount --bind "$1/runsamba" /run/samba && exec samba -s "$1/etc/smb.conf" -l "$1" -F --no-process-group -M single'
        log = (self.home / "samba.log").open("ab")
        Path("/run/samba").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", command, "sh", str(self.home)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        log.close()
        end = time.monotonic() + DEADLINE
        while not all(_answers(self.address, port) for port in (636, 389, 53)):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Samba did not start: {self._words()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Let it accept connections and say nothing more."""
        assert self.process is not None
        pausing.halt(self.process)

    def go_on(self) -> None:
        """Let it work again."""
        assert self.process is not None
        pausing.go_on(self.process)

    def wipe(self) -> None:
        """End it and remove all of it."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def configuration(self) -> Path:
        """Its smb.conf."""
        return self.home / "etc" / "smb.conf"

    @property
    def settings(self) -> dict[str, str]:
        """What a directory of ours is told of it: its servers come from its own DNS."""
        return {
            "dns_domain": self.domain, "dns_server": self.address, "base": self.base, "bind_name": f"svc-broker@{self.domain}",
            "bind_password": self.password("svc-broker"), "ca_certificates": self.authority.pem,
        }  # fmt: skip

    def password(self, name: str) -> str:
        """Return the password of one of its people: no other domain's person of that name has it."""
        return f"Passw0rd-{name}-{self.domain.split('.')[0]}"

    def change(self, ldif: str, *options: str) -> None:
        """Change entries behind its back, as an administrator's tools do."""
        self._run("ldbmodify", "-H", str(self.home / "private" / "sam.ldb"), *options, text=ldif)

    def dn(self, name: str) -> str:
        """Return the DN of one of its people."""
        return f"CN={name},OU=People,{self.base}"

    def tool(self, *words: str) -> None:
        """Run samba-tool on it."""
        self._run("samba-tool", *words, "-s", str(self.configuration))

    def _provision(self) -> None:
        self._run(
            "samba-tool", "domain", "provision", f"--targetdir={self.home}", "--server-role=dc", f"--realm={self.domain.upper()}",
            f"--domain={self.netbios}", "--host-name=dc", f"--host-ip={self.address}", f"--adminpass={ADMINISTRATOR_PASSWORD}",
            "--dns-backend=SAMBA_INTERNAL", "--backend-store=tdb", f"--option=interfaces={self.address}/8",
            "--option=bind interfaces only=yes", "--option=disable netbios=yes",
        )  # fmt: skip

    def _configure(self) -> None:
        certificate, key = self.authority.issue("dc", self.host, "localhost", self.address)
        key.chmod(0o600)
        for name in ("ncalrpc", "runsamba", "run"):
            (self.home / name).mkdir(exist_ok=True)
        lines = [line for line in self.configuration.read_text().splitlines() if not line.strip().startswith(_STRANGE)]
        ours = [
            "server services = ldap, cldap, dns",
            "tls enabled = yes",
            f"tls keyfile = {key}",
            f"tls certfile = {certificate}",
            f"tls cafile = {self.authority.path}",
            f"ncalrpc dir = {self.home}/ncalrpc",
            f"pid directory = {self.home}/run",
            f"log file = {self.home}/log.%m",
        ]
        place = lines.index("[global]") + 1
        self.configuration.write_text("\n".join(lines[:place] + [f"\t{line}" for line in ours] + lines[place:]) + "\n")

    def _run(self, *words: str, text: str = "") -> None:
        done = subprocess.run(
            words, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{words[0]} failed: {done.stdout.decode('utf-8', 'replace')[-2000:]}")

    def _words(self) -> str:
        return (self.home / "samba.log").read_text("utf-8", "replace")[-2000:]


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True
