"""The fields of second factors, in policies and roles and of RADIUS servers."""

from portico.services.spec import NAME, Spec

# Of policies and of roles alike.
FACTORS = {
    "second_factor_required": Spec("Demand a second factor", "Who has none sets one up at the next log-in."),
    "radius_id": Spec(
        "Second factor by RADIUS", "Then these servers check the code, and nobody comes in without. Empty: no RADIUS."
    ),
    "radius_or_own": Spec(
        "An app or a passkey counts as well", "Off: only RADIUS, and the codes on paper for when it does not answer."
    ),
}

RADIUS = {
    "name": NAME,
    "servers": Spec(
        "Servers",
        "Such as radius.corp.example, 10.0.0.5:1812. Asked in this order, the next where one does not answer.",
    ),
    "secret": Spec("Shared secret", "At least 16 characters, the same on all of these servers.", secret=True),
    "timeout_seconds": Spec(
        "Wait for an answer", "Of one server. 60 where people confirm on their phone.", "seconds", 1, 90
    ),
    "send_name": Spec(
        "Send as the name",
        "With the domain: as in ada@corp.example, by the first domain of the person's directory.",
        choices=("login_name", "email", "with_domain"),
    ),
    "push": Spec("Ask the phone", "The page offers to go on without a code; the server then asks on the phone (push)."),
    "message_authenticator": Spec(
        "Demand a Message-Authenticator",
        "Off: answers of old servers are believed, which can be forged on the way (CVE-2024-3596).",
        advanced=True,
    ),
    "nas_identifier": Spec("NAS-Identifier", "By which the servers know Portico.", longest=253, advanced=True),
}
