"""What gateway and broker say to each other, and what a browser says to the gateway's doors. JSON over HTTPS.

Gateway → broker (opened by the gateway; bearer over TLS pinned to the deployment's CA):

GET  /gateway/v1/ca       → the deployment's CA certificate, PEM; asked for without verification and believed only if the SHA-256 of its
                          DER is the configured fingerprint. From then on it is the only root, and names are checked as usual.
POST /gateway/v1/enroll   {"v": 1, "token": str, "name": str, "version": str, "public_url": str, "csr": PEM?}
                          → {"gateway_id": str, "bearer": str, "keys": JWKS, "realm": str, "certificate": PEM?, "ca": PEM?}
                          401 for an unknown, used or expired token. `csr` is there unless the gateway was given certificate files;
                          `certificate` is then signed by the deployment's CA for the names and addresses of the CSR (role "gateway").
POST /gateway/v1/redeem   {"ticket": str, "client_address": str}
                          → GRANT   |  401 forged/expired · 409 used · 410 its assignment has ended · 403 for another gateway (problem+json)
POST /gateway/v1/report   {"v": 1, "boot_id": str, "sequence": int, "load": {"sessions": int, "cpu": float},
                           "live": [connection ids], "events": [{"kind": "opened"|"closed"|"listening"|"file.in"|"file.out", "connection": str,
                           "at": ISO 8601, "sequence": int, "reason": str, "bytes_in": int, "bytes_out": int,
                           "entry": the grant's (opened, closed): of two sessions of one connection the books are about the later
                           (file.*: a file of bytes_in or bytes_out bytes was sent to or taken from the desktop; `reason` is its name)
                           "ports": [[the desktop's, the gateway's]]? (listening)}]}   → {"ok": true}
                          sent at once for events, else every 10 s as heartbeat; events are kept and resent until answered.
                          `live` lets the broker repair what a lost event left.
POST /gateway/v1/recordings/ID?offset=N[&sha256=HEX]   a piece of a recording (wire.recordings) as raw bytes, ≤ 512 KiB, the last one with
                          the file's hash → {"size": what the broker has now, "done": bool}; an offset that is not that size changes
                          nothing and is answered the same. 404 for a recording that no broker wants, 507 where there is no room.
GET  /gateway/v1/control?after=N   held open ≤ 25 s → {"messages": [MESSAGE], "last": N}

MESSAGE   {"id": int, "kind": "close", "connection": str, "reason": str} | {"id": int, "kind": "keys", "keys": JWKS}
          | {"id": int, "kind": "drain", "on": bool} | {"id": int, "kind": "forward", FORWARD}
          | {"id": int, "kind": "shadow", "connection": str, "shadow": str, "who": str, "mode": "view"|"control", "seconds": int}
          | {"id": int, "kind": "shadow.end", "connection": str, "shadow": str}
          (a close's `reason` is a name of CLOSE; any other text counts as "session.ended" and goes into the log)

FORWARD   {"connection": str, "client": address that may come in, "host": str, "realm": str, "mode": "same_port"|"random_filtered"|"random_open",
           "targets": [["tcp"|"udp", port of the desktop]], "fixed": bool (the client can use no other port than the desktop's),
           "ports": [int]? (those it had, after the gateway was started anew, one for each port number of targets),
           "idle_seconds": int|null, "expires_at": ISO 8601|null}
          opens ports for a client that speaks a protocol of its own. Answered by an event: "listening", or "closed" with a reason
          ("forward.no_port", "forward.port_taken", "forward.no_address", "forward.too_many", "forward.off"). Then "opened" when somebody
          comes, and "closed" when the forward has ended: by a close, its policy ("idle", "time.up"), or because nobody came or is there
          any more ("forward.unused", "client.left"). In mode "random_open" the first address that comes is the client's from then on.
          A gateway that starts anew (another boot_id) is sent the forwards that still count.

GRANT     {"connection": str, "entry": str, "assignment": str, "epoch": int, "user": str, "protocol": "vnc"|"ssh"|"rdp",
           "target": {"host": str, "port": int, "realm": str,
                      "certificates": [SHA-256 of a certificate in hex]? (what the desktop may show over TLS; none: any),
                      "deep_colour": bool? (rdp: ask for 32 bits a pixel; true where it is missing)},
           "credentials": {"username": str, "domain": str?, "password": str?, "ssh_key": PEM?, "ssh_certificate": str?, "ssh_host_keys": [str]?},
           "policy": {"clipboard_in": bool, "clipboard_out": bool, "files_in": bool, "files_out": bool, "drives": bool, "printers": bool, "usb": bool,
                      "view_only": bool, "idle_seconds": int|null, "expires_at": ISO 8601|null,
                      "watermark": str|null (the page fills {TIME} in)},
           "shadowed": bool (somebody may join this session: what the browser is sent is kept until he comes),
           "recording": {"id": str, "mode": "on"|"required", "key": str, "public": hex of an X25519 public key}?}

GRANT of a shadow ticket   {"connection": str, "protocol": str, "realm": str,
                            "shadow": {"id": str, "mode": "view"|"control", "who": str, "expires_at": ISO 8601}}
          its holder joins the session of another person, who has agreed to it before a broker. The question ("shadow") is only brought
          to the person's page; told back are the events "shadow.opened" and "shadow.closed" with "shadow": its id and "reason":
          "shadow.left" (the helper's line ended, and may come back) or "shadow.ended" (the person or the broker ended it).

Redeemed in place of a ticket can be a routing token ("r." and a random text) of an RDP client: good like a session ticket, for any
gateway of the desktop's realm, and its GRANT holds no credentials.

Tickets (wire.tickets) are EdDSA-signed and single use: the gateway checks the signature offline, then redeems. If no broker answers in
2 s a gateway refuses new entry tickets that need credentials (they come only with the GRANT) and says so; running sessions go on.

Browser doors, WebSocket, under the portal's origin:  wss://ORIGIN/gw/vnc   wss://ORIGIN/gw/ssh   wss://ORIGIN/gw/rdp?layout=0x407
 1. the upgrade's Origin header must be one that the gateway serves (403 otherwise); no ticket, no cookie in the request
 2. first message, text, ≤ 8 KiB, within 10 s: {"ticket": str}      for ssh also "columns", "rows"
 3. answer, text: {"ok": true, "policy": {...}} or {"error": CODE, "message": sentence} followed by close 4001…4009 (see CLOSE)
 4. vnc: binary both ways is RFB as a server speaks it to a client, security type None first.
    ssh: binary = terminal bytes; text from the browser = {"resize": [columns, rows]}; text to it = {"exit": status}
    rdp: the first message is an RDCleanPath request, binary, with the ticket as its proxy authorisation (gateway.cleanpath); beside the
    answer as text comes its RDCleanPath response, then binary both ways is RDP as within TLS. `layout` is the keyboard's, as Windows
    numbers it. Before its request the page may send text {"log_in": {"username": str, "password": str, "domain": str?}}: what the
    person typed, used where the GRANT has no password. What the client says of security, log-in and colours is overwritten.
    ssh: the answer also holds "files": a secret that opens wss://ORIGIN/gw/files while this session lives; its first message is
    {"session": secret}, answered {"ok": true, "home": path, "files_in": bool, "files_out": bool, "most": bytes}; what follows stands
    in gateway.transfers
    wss://ORIGIN/gw/tunnel, for clients of a device: the ticket is a tunnel ticket, the answer {"ok": true}, then binary both ways are
    the bytes of one TCP connection to the desktop's port; several WebSockets of a connection live at a time
    all: text {"idle_in": seconds | null} to the browser: nobody has used the session, it will end; null when somebody does again
    all: text {"shadow": …} both ways: what stands in gateway.shadows
    all: text {"ping": int} from the browser is answered {"pong": the same}, so that the page can show the round-trip time
 5. the gateway ends with a close code of CLOSE, whose name is the close reason; 1000 when the desktop ended the session itself
"""

VERSION = 1

# WebSocket close codes of the browser doors, and what the page makes of them.
CLOSE = {
    "ticket.invalid": 4001,  # forged, expired, malformed: ask for a new one
    "ticket.used": 4002,
    "session.ended": 4003,  # the assignment is over: back to the portal
    "desktop.unreachable": 4004,  # could not connect to the desktop
    "desktop.refused": 4005,  # the desktop did not accept the credentials
    "closed.by_administrator": 4006,
    "closed.elsewhere": 4007,  # the same person opened it on another device
    "broker.unreachable": 4008,
    "draining": 4009,
    "credentials.wanted": 4013,  # the broker has no password for the desktop: the page asks the person (with "username")
    "idle": 4010,  # nobody used the session for as long as the plan allows
    "time.up": 4011,  # it has lasted as long as the plan allows
    "shadow.waiting": 4015,  # to a helper: the session is being opened again, come back in a moment
    "shadow.ended": 4016,  # to a helper: the visit is over
    "recording.failed": 4014,  # it must be recorded, and cannot be
    "desktop.changed": 4012,  # the desktop shows another certificate or host key than the one that it reported
}
