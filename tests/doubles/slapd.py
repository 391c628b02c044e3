"""A real OpenLDAP: slapd on a loopback address, with password policies and people in every state."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.doubles import pausing
from tests.doubles.authority import Authority

BASE = "dc=open,dc=test"
ROOT, ROOT_PASSWORD = f"cn=admin,{BASE}", "Adm1n-Passw0rd"
SERVICE = f"cn=svc-broker,ou=Services,{BASE}"
PEOPLE = ("alice", "bob", "louis", "mike", "pete", "gwen", "dave", "oscar")
_CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
pidfile {home}/slapd.pid
argsfile {home}/slapd.args
threads 8
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSVerifyClient never
# A simple bind needs TLS, and nobody anonymous reads more than the root of it.
security simple_bind=112
disallow bind_anon
database mdb
maxsize 268435456
suffix "{base}"
rootdn "{root}"
rootpw {password}
directory {home}/db
index objectClass eq
index uid,cn eq,sub
dbnosync
index member,uniqueMember,memberUid,gidNumber,entryUUID eq
access to attrs=userPassword by self write by anonymous auth by * none
access to * by dn.exact="{service}" read by self read by * none
limits dn.exact="{service}" size=unlimited
overlay ppolicy
ppolicy_default "cn=default,ou=Policies,{base}"
ppolicy_use_lockout
ppolicy_hash_cleartext
"""


class Slapd:
    """A running server: ldap with StartTLS, and ldaps, both on free ports."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        """Name its address; `start` makes it."""
        self.address, self.host = address, "localhost"
        self.home = Path(tempfile.mkdtemp(prefix="portico-ldap-"))
        self.process: subprocess.Popen[bytes] | None = None
        self.authority = Authority(self.home)
        self.plain, self.secure = _free_port(address), _free_port(address)

    def start(self) -> None:
        """Start it and put people into it. Raises RuntimeError with its own words."""
        certificate, key = self.authority.issue("slapd", "localhost", self.address)
        (self.home / "db").mkdir()
        text = _CONFIGURATION.format(
            home=self.home, ca=self.authority.path, certificate=certificate, key=key, base=BASE, root=ROOT, password=ROOT_PASSWORD,
            service=SERVICE,
        )  # fmt: skip
        (self.home / "slapd.conf").write_text(text)
        self.up()
        self.add(_people())
        self.modify(
            f"dn: uid=mike,ou=People,{BASE}\nchangetype: modify\nreplace: pwdReset\npwdReset: TRUE\n\n"
            f"dn: uid=dave,ou=People,{BASE}\nchangetype: modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n"
        )

    def up(self) -> None:
        """Start it as it is."""
        log = (self.home / "slapd.log").open("ab")
        urls = f"ldap://{self.address}:{self.plain} ldaps://{self.address}:{self.secure}"
        command = ["/usr/sbin/slapd", "-d", "0", "-f", str(self.home / "slapd.conf"), "-h", urls]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((self.address, self.secure), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    words = (self.home / "slapd.log").read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"slapd did not start: {words}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
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
    def settings(self) -> dict[str, str]:
        """What a directory of ours is told of it."""
        return {
            "servers": f"ldaps://localhost:{self.secure}", "base": BASE, "bind_name": SERVICE, "bind_password": "Passw0rd-svc-broker",
            "ca_certificates": self.authority.pem,
        }  # fmt: skip

    def password(self, name: str) -> str:
        """Return the password of one of its people."""
        return f"Passw0rd-{name}"

    def add(self, ldif: str) -> None:
        """Add entries."""
        self._client("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        """Change entries."""
        self._client("ldapmodify", ldif)

    def _client(self, program: str, ldif: str) -> None:
        done = subprocess.run(
            [program, "-x", "-H", f"ldaps://localhost:{self.secure}", "-D", ROOT, "-w", ROOT_PASSWORD, "-e", "relax"],
            input=ldif.encode(), capture_output=True, timeout=60, check=False,
            # The tools take "localhost" for this machine's own name, which no certificate of ours says.
            env={"LDAPTLS_REQCERT": "never", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode('utf-8', 'replace')[-1000:]}")


def _people() -> str:
    units = "".join(
        f"dn: ou={name},{BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n"
        for name in ("People", "Groups", "Services", "Policies")
    )
    entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Open\ndc: open\n\n{units}".rstrip()]
    for name, more in (("default", "pwdMaxAge: 0"), ("aged", "pwdMaxAge: 1\npwdGraceAuthNLimit: 0")):
        entries.append(
            f"dn: cn={name},ou=Policies,{BASE}\nobjectClass: person\nobjectClass: pwdPolicy\ncn: {name}\nsn: {name}\n"
            "pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 3\npwdLockoutDuration: 30\npwdFailureCountInterval: 30\n"
            f"pwdMinLength: 8\npwdCheckQuality: 1\npwdAllowUserChange: TRUE\npwdMustChange: TRUE\npwdSafeModify: FALSE\n{more}"
        )
    entries.append(
        f"dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: svc-broker\n"
        "userPassword: Passw0rd-svc-broker"
    )
    for number, name in enumerate(PEOPLE, 3001):
        policy = f"\npwdPolicySubentry: cn=aged,ou=Policies,{BASE}" if name == "pete" else ""
        entries.append(
            f"dn: uid={name},ou=People,{BASE}\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\nuid: {name}\n"
            f"cn: {name.capitalize()} Open\nsn: Open\nmail: {name}@open.test\nuidNumber: {number}\ngidNumber: 3000\n"
            f"homeDirectory: /home/{name}\nuserPassword: Passw0rd-{name}\ntitle: Tester{policy}"
        )
    for group, members in (
        ("Backend", [f"uid=alice,ou=People,{BASE}"]), ("Engineers", [f"cn=Backend,ou=Groups,{BASE}"]),
        ("VDI-Users", [f"cn=Engineers,ou=Groups,{BASE}", f"uid=bob,ou=People,{BASE}"]),
    ):  # fmt: skip
        listed = "\n".join(f"member: {member}" for member in members)
        entries.append(f"dn: cn={group},ou=Groups,{BASE}\nobjectClass: groupOfNames\ncn: {group}\n{listed}")
    entries.append(
        f"dn: cn=posixvdi,ou=Groups,{BASE}\nobjectClass: posixGroup\ncn: posixvdi\ngidNumber: 3100\nmemberUid: alice\nmemberUid: oscar"
    )
    return "\n\n".join(entries) + "\n"


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
