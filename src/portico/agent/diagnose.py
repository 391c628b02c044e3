"""`portico agent diagnose`: what this machine knows of itself and whether it reaches its broker, line by line."""

import argparse
from typing import List, Sequence, Tuple

from portico.agent import config, instance
from portico.agent.http import Broker, BrokerAway, Rejected
from portico.agent.join import settle

Line = Tuple[bool, str, str]


def main(argv: Sequence[str]) -> int:
    """Print what was found; the status is 0 when an agent here can work."""
    parser = argparse.ArgumentParser(
        prog="portico agent diagnose", description="Tell why the agent here is not admitted."
    )
    parser.add_argument("--config", default="/etc/portico/agent.json", help="settings file (default: %(default)s)")
    lines = look(parser.parse_args(argv).config)
    for fine, what, fix in lines:
        print("{} {}".format("ok  " if fine else "BAD ", what))
        if fix:
            print("     fix: {}".format(fix))
    return 0 if all(fine for fine, _, _ in lines) else 1


def look(path: str) -> List[Line]:
    """Return what was looked at: whether it is fine, in a sentence, and the fix."""
    try:
        settings = config.load(path)
    except config.BadSettings as problem:
        return [(False, "settings: {}".format(problem), "portico agent install writes them")]
    lines = [(True, "settings: {}".format(path), "")]
    found = instance.Instance("", "", "", {}, "")
    if settings.metadata:
        found = instance.find()
        lines += _of_instance(found)
    way = settle(settings, found.hello)
    if way is None:
        fix = "put broker_url and ca_fingerprint into {}, or let the instance's metadata say them".format(path)
        lines.append((False, "broker: nothing says where it is", fix))
        return lines
    broker = Broker(way.broker_url, way.ca_fingerprint)
    try:
        broker.reach()
    except Rejected as problem:
        lines.append((False, "broker: {}: {}".format(way.broker_url, problem), "look at the broker's log"))
    except BrokerAway as problem:
        fix = "check the address, the fingerprint, and that this machine may open a connection to it"
        lines.append((False, "broker: {}: {}".format(way.broker_url, problem), fix))
    else:
        lines.append((True, "broker: {} answers, and its CA is ours".format(way.broker_url), ""))
    finally:
        broker.close()
    admits = [name for name, value in (("a one-time token", way.token), ("a join key", way.join_key)) if value]
    lines.append((True, "admission: by {}".format(" and ".join(admits) or "its center or an administrator"), ""))
    return lines


def _of_instance(found: instance.Instance) -> List[Line]:
    lines: List[Line] = []
    if found.diagnosis is None:
        lines.append((True, "metadata: answers", ""))
    else:
        # With a config drive nothing is missing but what changes later, such as a floating IP.
        lines.append((found.source == instance.DRIVE, "metadata: " + found.diagnosis.sentence, found.diagnosis.fix))
    if found.source == instance.DRIVE:
        lines.append((True, "config drive: found", ""))
    what = (
        "instance: {} (from {})".format(found.uuid, found.source) if found.uuid else "instance: its UUID is not known"
    )
    lines.append((bool(found.uuid), what, "" if found.uuid else "an administrator has to admit this agent by hand"))
    if found.public_address:
        lines.append((True, "public address: {}".format(found.public_address), ""))
    return lines
