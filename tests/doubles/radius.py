"""A real FreeRADIUS on loopback: people with codes, one who is asked back, one whose phone takes its time."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from doubles.desktops import stop

SECRET = "a-shared-secret-of-tests"
CODE, PIN, PHONE = "314159", "2718", "yes"
_CONFIGURATION = """
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {home}
logdir = {home}
run_dir = {home}
pidfile = {home}/radiusd.pid
max_request_time = 60
max_requests = 1024
hostname_lookups = no
log {{
 destination = stdout
 auth = yes
}}
security {{
 max_attributes = 200
 reject_delay = 0
 status_server = {status}
}}
thread pool {{
 start_servers = 4
 max_servers = 8
 min_spare_servers = 1
 max_spare_servers = 4
}}
client loopback {{
 ipaddr = 127.0.0.0/8
 secret = {secret}
 require_message_authenticator = {demands}
}}
modules {{
 pap {{
  normalise = no
 }}
 exec {{
  wait = yes
  timeout = 55
 }}
}}
instantiate {{
}}
server default {{
 listen {{
  type = {kind}
  ipaddr = 127.0.0.1
  port = {port}
 }}
 authorize {{
  if (&User-Name == "pia") {{
   if (&User-Password == "") {{
    if ("%{{exec:/bin/sh -c 'until [ -e {home}/confirmed ]; do sleep 0.1; done; echo yes'}}" == "yes") {{
     update control {{
      &Auth-Type := Accept
     }}
    }}
   }}
   else {{
    update control {{
     &Auth-Type := Reject
    }}
   }}
   return
  }}
  if (&User-Name == "otto" && !&State) {{
   if (&User-Password == "{pin}") {{
    update reply {{
     &State := 0xabcdef01
     &Reply-Message := "Now the <b>code</b> of your token"
    }}
    update control {{
     &Auth-Type := Accept
     &Response-Packet-Type := Access-Challenge
    }}
   }}
   return
  }}
  if ((&User-Name == "otto" && &State == 0xabcdef01) || &User-Name == "user" || &User-Name == "user@radius.test" || &User-Name == "ada@list.test") {{
   update control {{
    &Cleartext-Password := "{code}"
   }}
   pap
  }}
 }}
 authenticate {{
  Auth-Type PAP {{
   pap
  }}
 }}
 post-auth {{
  {signed}
  Post-Auth-Type Reject {{
   {signed}
   update reply {{
    &Reply-Message := "Not this one"
   }}
  }}
  Post-Auth-Type Challenge {{
   {signed}
  }}
 }}
}}
"""
_SIGNED = "update reply {\n &Message-Authenticator := 0x00\n }"


class FreeRadius:
    """A running server. `signs`: whether its answers carry a Message-Authenticator; `status`: whether it answers a Status-Server."""

    def __init__(self, *, signs: bool = True, status: bool = True, demands: bool = True) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="portico-radius-"))
        self.port = free_udp_port()
        self._process: subprocess.Popen[bytes] | None = None
        (self.home / "radiusd.conf").write_text(
            _CONFIGURATION.format(
                home=self.home,
                port=self.port,
                secret=SECRET,
                code=CODE,
                pin=PIN,
                signed=_SIGNED if signs else "",
                status="yes" if status else "no",
                demands="yes" if demands else "no",
                kind="auth",
            )
        )
        (self.home / "dictionary").write_text("$INCLUDE /usr/share/freeradius/dictionary\n")

    @property
    def server(self) -> str:
        """How a broker is told of it."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "radius.log").read_text("utf-8", "replace")

    def start(self) -> "FreeRadius":
        """Run it, and wait until it says that it listens. Raises RuntimeError with its own words."""
        with (self.home / "radius.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/freeradius", "-d", str(self.home), "-f", "-l", "stdout"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        end = time.monotonic() + 60
        while "Ready to process requests" not in self.log:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"FreeRADIUS did not start: {self.log[-3000:]}")
            time.sleep(0.05)
        return self

    def confirm(self) -> None:
        """Let the person say yes on their phone."""
        (self.home / "confirmed").touch()

    def forget(self) -> None:
        """Take the yes back."""
        (self.home / "confirmed").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            stop(self._process)
            self._process = None

    def wipe(self) -> None:
        """End it and remove all of it."""
        self.confirm()
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def free_udp_port() -> int:
    """Return a port of loopback that nobody has at this moment."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
