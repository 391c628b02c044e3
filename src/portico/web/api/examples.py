"""One example of a body for each noun that can be made, shown in the API's description."""

from collections.abc import Mapping
from typing import Any

_ID = "6b0a3c1e-6f0e-4a53-9a43-0a8f6f1d2c11"

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "centers": {"name": "Frankfurt", "kind": "static", "settings": {}},
    "pools": {
        "name": "Engineering",
        "rule": {"rules": [{"attribute": "name", "operator": "bw", "text": "eng-"}]},
        "provisioning": {
            "center_id": _ID,
            "image": "debian-13-desktop",
            "name_template": "eng-{SEQUENCE}",
            "limits": {"start_below": 2, "stop_at": 10},
        },
    },
    "policies": {"name": "Engineers", "assignments": [{"pool_id": _ID, "quantity": 1, "release_plan_id": _ID}]},
    "protocol-plans": {"name": "Browser first", "protocols": ["vnc", "ssh"]},
    "power-plans": {"name": "Off when idle", "on_disconnect": "suspend", "on_disconnect_minutes": 30},
    "release-plans": {"name": "Single use", "release_after_log_out_minutes": 0, "delete_after_release": True},
    "roles": {"name": "Help desk", "areas": {"desktops": "edit", "users": "view"}},
    "users": {"login_name": "ada", "display_name": "Ada Lovelace", "role_id": _ID},
    "directories": {
        "name": "Head office",
        "kind": "active-directory",
        "domains": ["corp.example", "CORP"],
        "settings": {
            "dns_domain": "corp.example",
            "base": "DC=corp,DC=example",
            "bind_name": "svc-portico@corp.example",
        },
        "rules": [{"attribute": "group", "operator": "eq", "text": "VDI-Users", "role_id": _ID, "policy_id": _ID}],
    },
    "radius-servers": {
        "name": "Tokens",
        "servers": ["radius1.corp.example", "10.0.0.6:1812"],
        "secret": "a long shared secret",
    },
    "locations": {
        "name": "Office",
        "conditions": [{"attribute": "address", "operator": "ip", "text": "10.0.0.0/8"}],
        "direct": True,
    },
    "gateway-groups": {"name": "Frankfurt", "balance": "fewest", "may_reach": ["10.20.0.0/16"]},
    "tenants": {"name": "Example Ltd"},
    "join-keys": {"name": "Debian desktops", "days": 365},
    "tokens": {"name": "nightly report", "days": 90},
}
