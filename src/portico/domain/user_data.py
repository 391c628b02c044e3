"""What a pool's user data says to each new desktop: our tags are filled in, and all other braces stay as they are.

User data is a program of somebody else's language: `${HOME}` in a shell, `{{ name }}` in Jinja, a block in PowerShell.
"""

import json
import re
from collections.abc import Mapping

TAGS = ("AGENT", "BROKER_URL", "CA_FINGERPRINT", "TOKEN", "DESKTOP", "POOL")
_TAG = re.compile(r"(?<![${])\{(" + "|".join(TAGS) + r")\}(?!\})")


def render(template: str, agent: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Fill in a template. `agent` holds broker_url, ca_fingerprint and token; `names` fills DESKTOP and POOL.

    A name keeps to one line and holds nothing that a shell or YAML reads as more than a word.
    """
    values = {
        "AGENT": json.dumps({key: agent[key] for key in ("broker_url", "ca_fingerprint", "token") if agent.get(key)}),
        "BROKER_URL": agent.get("broker_url", ""),
        "CA_FINGERPRINT": agent.get("ca_fingerprint", ""),
        "TOKEN": agent.get("token", ""),
    } | {key: re.sub(r"[^\w .@+-]", "", value) for key, value in names.items()}
    return _TAG.sub(lambda match: values.get(match[1], ""), template)
