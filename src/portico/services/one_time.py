"""One-time passwords for clients of a device, shown to the person alone and once."""

from dataclasses import dataclass, field

from portico.errors import Conflict
from portico.services import agent_channel, connect, forwards, session_rights
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.store import events

PROTOCOLS = ("vnc",)  # whose passwords an agent makes


@dataclass(frozen=True, slots=True)
class LogIn:
    """What opens the desktop, once and for two minutes."""

    username: str
    password: str = field(repr=False)


def make(broker: Broker, me: SignedIn, connection_id: str) -> LogIn:
    """Have the agent make a password for one's own connection of a client of a device. Raises NotFound, Conflict, AgentUnreachable."""
    row, assignment, desktop = connect.load(broker, me, connection_id)
    seen = connect.view(broker, me, connection_id)
    has_way = seen.address or row.f_state == forwards.TUNNEL
    if not has_way or seen.protocol not in PROTOCOLS or desktop.agent == "not installed":
        raise Conflict("There is no one-time password for this way to the desktop. Log in as the desktop asks you to.")
    asked = {"protocol": seen.protocol, "user": me.user.login_name, "rights": list(row.rights or ())}
    answer = agent_channel.command(broker, desktop.id, "prepare", asked)
    session_rights.told(broker, desktop, row.rights, answer)
    with broker.db.write() as conn:
        entry = events.Entry(
            broker.now(), "desktop.password_shown", me.user.tenant_id, me.user.login_name,
            params={"desktop": desktop.name, "protocol": seen.protocol, "address": row.client_address},
            user_id=me.user.id, desktop_id=desktop.id, correlation=assignment.id,
        )  # fmt: skip
        events.add(conn, entry)
    return LogIn(str(answer.get("username") or row.d_login_user), str(answer.get("password", "")))
