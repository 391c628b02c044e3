"""What agent and broker say to each other, as JSON over HTTPS. Python 3.6 language: desktops are older than servers.

Agent → broker (TLS pinned to the deployment's CA by the SHA-256 fingerprint of the CA certificate, hex):

GET  /agent/v1/ca        → the deployment's CA certificate, PEM; asked without verification and believed because of its fingerprint
POST /agent/v1/enroll    {"v": 1, "token": str, "agent_version": str, "facts": FACTS, "instance_id": str | absent}
                         → {"agent_id": str, "bearer": str, "ca": PEM, "certificate": PEM, "key": PEM,   (for the 8080 server)
                            "ssh_user_ca": "ssh-ed25519 …", "heartbeat_seconds": int}
                         401 for an unknown, used or expired token, and for one that is for another machine.
POST /agent/v1/join      {"v": 1, "secret": str (random, its own), "agent_version": str, "facts": FACTS, "instance_id": str,
                            "addresses": [str], "macs": [str], "join_key": str}
                         → {"state": "waiting", "reason": str (a sentence), "retry_after": int}   until somebody vouches for it, then
                            {"state": "admitted", …as after enroll}
                         403 when an administrator refused it; 409 when it was admitted before: it asks anew with another secret;
                         429 when too many wait.
GET  /agent/v1/agent.pyz → the agent as one file, as this broker would run it; nothing secret is in it
POST /agent/v1/report    Authorization: Bearer …   {"v": 1, "boot_id": str, "sequence": int, "facts": FACTS | absent,
                            "sessions": [SESSION], "events": [EVENT], "results": [RESULT], "dropped": int | absent (events that were lost)}
                         → {"ok": true, "heartbeat_seconds": int}
GET  /agent/v1/commands?wait=25   Authorization: Bearer …  → {"commands": [COMMAND]}      (held open until there is one)

Broker → agent, on the agent's own HTTPS port (8080, changeable; client certificate of the deployment's CA with role "broker"
in its organizationalUnitName):

POST /agent/v1/command   COMMAND → RESULT        GET /agent/v1/status → {"agent_version", "boot_id", "sessions": [SESSION]}

FACTS    {"hostname": str, "os_family": "linux"|"windows"|"macos", "os_name": str, "address": str,
          "port": int (of the 8080 server; 0 = outbound only), "protocols": {"vnc": 5901, "ssh": 22},
          "ssh_host_keys": ["ssh-ed25519 AAAA…"], "login_user": str (the account that sessions run as, if there is just one),
          "metadata": str (how the metadata service of its cloud is reached: a state of agent.route, "" where it is not asked),
          "metadata_gateway": str (the way to it, as far as known), "public_address": str (what metadata says)}
SESSION  {"id": str, "user": str, "kind": "vnc"|"ssh"|"rdp"|"console", "state": one of STATES, "since": ISO 8601, "idle_seconds": int|null}
EVENT    {"kind": one of EVENTS, "session": str, "user": str, "session_kind": str, "at": ISO 8601, "sequence": int}
COMMAND  {"id": str, "kind": one of COMMANDS, …its arguments}
RESULT   {"id": str, "ok": bool, "error": str, …its values}

Events carry a sequence number that rises within one boot id; the broker orders by (boot id, sequence) and ignores what it has seen.
An agent resends a report until it is answered, and keeps events that it could not deliver (bounded, oldest dropped, with a note).

Commands and their arguments → values:
prepare   {"protocol": "vnc"|"ssh"|"rdp", "user": str, "rights": ["administrator"|"rdp"] | absent}
          → {"port": int, "username": str, "password": str, "rights": [of those asked for, what the account has now]?,
          "certificates": [SHA-256 of what the server shows, hex]? (rdp)}   one-time credential; for
          "ssh" no password: the gateway comes with a certificate of the deployment's user CA for principal `username`
revoke    {"protocol": str}                   → {}        make the last one-time credential useless
log_out   {"session": str | null}             → {}        end the session (all of them when null)
disconnect{"session": str | null}             → {}        drop its clients, keep it
lock      {"session": str | null}             → {}
message   {"text": str, "title": str}         → {}
"""

VERSION = 1

# Where an instance's metadata says how its agent enrols: what stands here in `meta` of meta_data.json, and a line of the user data,
# a comment to cloud-init, shell and PowerShell alike, that goes on with the same in JSON: {"broker_url": …, "token": …}.
METADATA = {
    "broker_url": "portico:broker",
    "ca_fingerprint": "portico:fingerprint",
    "token": "portico:token",
    "join_key": "portico:join-key",
}
USER_DATA_MARK = "# portico-agent:"

EVENTS = ("logged_on", "reconnected", "disconnected", "locked", "unlocked", "idle", "active", "logged_off")
STATES = ("logged on", "disconnected", "locked", "idle")
COMMANDS = ("prepare", "revoke", "log_out", "disconnect", "lock", "message")
