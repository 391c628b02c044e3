"""After a time without any broker, nobody knows yet who is still at work: timers that destroy wait until that is known."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from portico.services.broker import Broker
from portico.store import agents, fleet, founding

DEAD_SECONDS = 30  # no broker lives when none gave a sign of life for so long
SETTLE_SECONDS = 300
AGAIN_SECONDS = 10.0
_SETTING = "settling"


def begin(broker: Broker) -> bool:
    """Note, at a broker's start, that the deployment was without brokers until now; returns whether it was."""
    now = broker.now()
    with broker.db.write() as conn:
        last = fleet.last_beat(conn)
        if last is None or now - last <= timedelta(seconds=DEAD_SECONDS):
            return False
        founding.put_setting(conn, _SETTING, now.isoformat(), now)
    return True


def must_wait(broker: Broker, conn: Connection, desktop_id: str) -> bool:
    """Tell whether a timer must not act on a desktop yet: brokers were away, and its agent has not reported since."""
    text = founding.get_setting(conn, _SETTING)
    since = datetime.fromisoformat(text) if isinstance(text, str) else None
    if since is None or broker.now() - since >= timedelta(seconds=SETTLE_SECONDS):
        return False
    agent = agents.get_of_desktop(conn, desktop_id)
    return agent is None or agent.seen_at is None or agent.seen_at < since
