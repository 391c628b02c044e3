"""What user data tells the agent of a new desktop: tags that are filled in when the machine is asked for, the token among them.

They stay as they are in the record of what is to be built, so that no secret is written down there.
"""

import json
import re
from collections.abc import Mapping

TAGS = ("AGENT", "BROKER_URL", "CA_FINGERPRINT", "TOKEN")
_TAG = re.compile(r"(?<![${])\{(" + "|".join(TAGS) + r")\}(?!\})")


def render(template: str, agent: Mapping[str, str]) -> str:
    """Fill in the tags of the agent; `agent` holds broker_url, ca_fingerprint and token. All else stays as it is."""
    values = {
        "AGENT": json.dumps({key: agent[key] for key in ("broker_url", "ca_fingerprint", "token") if agent.get(key)}),
        "BROKER_URL": agent.get("broker_url", ""),
        "CA_FINGERPRINT": agent.get("ca_fingerprint", ""),
        "TOKEN": agent.get("token", ""),
    }
    return _TAG.sub(lambda match: values[match[1]], template)
