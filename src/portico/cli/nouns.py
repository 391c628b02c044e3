"""The nouns of the command line, for help without a broker; what each can do is read from the broker's own description."""

from collections.abc import Mapping

# What one types → the noun of the REST interface.
NOUNS: Mapping[str, str] = {
    "center": "centers", "image": "images", "desktop": "desktops", "pool": "pools", "policy": "policies",
    "protocol-plan": "protocol-plans", "power-plan": "power-plans", "release-plan": "release-plans", "role": "roles",
    "user": "users", "tenant": "tenants", "session": "sessions", "gateway": "gateways", "location": "locations", "client": "clients", "directory": "directories", "radius-server": "radius-servers", "gateway-group": "gateway-groups", "broker": "brokers",
    "job": "jobs", "event": "events", "leaks": "leaks", "setting": "settings", "token": "tokens",
    "waiting-agent": "waiting-agents", "recording": "recordings", "join-key": "join-keys",
}  # fmt: skip
