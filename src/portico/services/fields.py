"""Every field that an administrator may fill in: its title, its meaning, its unit and its limits. Feeds forms, OpenAPI and docs."""

from collections.abc import Mapping

from portico.domain.access import AREAS, PORTAL
from portico.domain.gateways import BALANCES
from portico.domain.locations import ATTRIBUTES
from portico.services.fields_factors import FACTORS, RADIUS
from portico.services.spec import NAME
from portico.services.spec import Spec as Spec

MINUTES_A_YEAR = 525_600


NOTES = Spec("Notes", "For administrators; users do not see this.", longest=10_000)
BUILD_ACTIONS = ("start", "poweroff", "snapshot", "set_available", "set_unavailable")
POWER_ACTIONS = ("none", "shutdown", "stop", "suspend", "reboot")


def _minutes(title: str, help: str) -> Spec:
    return Spec(title, help, "minutes", 0, MINUTES_A_YEAR)


def _idle(title: str) -> Spec:
    return Spec(title, "Without keyboard and mouse, as the agent sees it. Empty: never.", "minutes", 5, MINUTES_A_YEAR)


_POOL = {
    "name": NAME,
    "notes": NOTES,
    "parent_id": Spec("Parent pool", "Only desktops of the parent can belong to this pool."),
    "rule.centers": Spec("Centers", "Desktops of these centers; none chosen means all of them."),
    "rule.desktops": Spec("Desktops", "Only these desktops; none chosen means any.", advanced=True),
    "rule.own_builds": Spec("Only desktops made by this pool", "Off: also those that others made and that match."),
    "rule.join": Spec("Match", "Whether all conditions must hold, or any one.", choices=("and", "or")),
    "rule.rules.attribute": Spec("Attribute"),
    "rule.rules.operator": Spec("Condition", choices=("eq", "ne", "ct", "nc", "bw", "ew", "gt", "lt", "ip", "np")),
    "rule.rules.text": Spec("Value"),
    "provisioning.limits.enabled": Spec("Build desktops", "Portico makes new desktops for this pool."),
    "provisioning.limits.start_below": Spec(
        "Start when unassigned desktops drop below",
        "Unavailable ones count as well; 0 builds none.",
        "desktops",
        0,
        100_000,
    ),
    "provisioning.limits.stop_at": Spec(
        "Stop when total desktops reach",
        "The pool is never built beyond this number; 0 builds none.",
        "desktops",
        0,
        100_000,
    ),
    "provisioning.center_id": Spec("Provision in center", "Decides what the menus below offer."),
    "provisioning.image": Spec("Image", "What new desktops are made from."),
    "provisioning.flavor": Spec("Flavor", "How large new desktops are."),
    "provisioning.network": Spec("Network", "Where new desktops are attached."),
    "provisioning.name_template": Spec("Names", "Static text with tags, such as desktop-{SEQUENCE}."),
    "provisioning.sequence_start": Spec(
        "First number", "What {SEQUENCE} starts with.", "", 0, 1_000_000_000, advanced=True
    ),
    "provisioning.user_data": Spec(
        "User data",
        "Given to cloud-init or cloudbase-init of a new desktop. Tags such as {VM:NAME} and {AGENT} are filled in.",
        longest=65_535,
        advanced=True,
    ),
    "provisioning.deletable": Spec("Initialize as deletable", "Portico may delete these desktops for good."),
    "provisioning.start_unavailable": Spec(
        "Initialize as unavailable", "Not offered until somebody sets them available.", advanced=True
    ),
    "provisioning.max_sessions": Spec(
        "Sessions per desktop", "More than one for terminal servers.", "", 1, 1000, advanced=True
    ),
    "provisioning.display_name_template": Spec(
        "Display names", "What users see, such as Lab {SEQUENCE:2}. Empty: as the machine is called."
    ),
    "provisioning.count_only_available": Spec(
        "Count only available desktops as unassigned", "Unavailable ones are made up for by new ones.", advanced=True
    ),
    "provisioning.enforce": Spec(
        "Delete what is above the limit",
        "Deletable desktops of this pool that nobody has; never one that is assigned or in use.",
    ),
    "provisioning.time_zone": Spec("Time zone", "Such as Europe/Berlin. Empty: the one of the settings.", longest=60),
    "provisioning.time_limits": Spec("Windows of time", "Other limits while they are open; the first open one holds."),
    "provisioning.time_limits.weekdays": Spec("Days", "On which the window opens."),
    "provisioning.time_limits.start": Spec("From", longest=5),
    "provisioning.time_limits.stop": Spec("Until", "Not later than the beginning: of the next day.", longest=5),
    "provisioning.time_limits.start_below": Spec("Start below", "", "desktops", 0, 100_000),
    "provisioning.time_limits.stop_at": Spec("Stop at", "", "desktops", 0, 100_000),
    "provisioning.actions": Spec("After the build", "In this order, once the desktop answers."),
    "provisioning.actions.action": Spec("Then", choices=BUILD_ACTIONS),
    "provisioning.actions.wait_seconds": Spec("Wait first", "", "seconds", 0, 86_400),
    "provisioning.placement.zone": Spec("Availability zone", "Empty: the cloud chooses."),
    "provisioning.placement.security_groups": Spec("Security groups", "What may reach new desktops."),
    "provisioning.placement.default_security_group": Spec("Also the project's default group"),
    "provisioning.placement.floating_ip": Spec(
        "Associate a floating IP", "A free one is used, else one is allocated; without either the build fails."
    ),
    "provisioning.placement.floating_network": Spec(
        "Floating IPs from", "Empty: the network that the router leads to."
    ),
    "provisioning.placement.volume.create": Spec("Start from a new volume", "Instead of the host's own disk."),
    "provisioning.placement.volume.size_gib": Spec(
        "Size of the volume", "0: as large as image and flavor ask for.", "GiB", 0, 65_536
    ),
    "provisioning.placement.volume.type": Spec("Type of the volume", "Empty: the cloud's default."),
    "provisioning.placement.volume.delete_with_machine": Spec("Delete the volume with the desktop"),
    "provisioning.placement.server_group": Spec("Server group", "Keeps desktops together on hosts, or apart."),
    "provisioning.placement.key_pair": Spec("Key pair", "For people who repair desktops over SSH."),
    "provisioning.placement.config_drive": Spec(
        "Config drive", "Metadata on a small disk, where the network has none."
    ),
    "provisioning.placement.metadata": Spec("Metadata", "For the machine; values may hold tags."),
    "provisioning.options": Spec("Options of the center", "What only its kind knows.", advanced=True),
}

_POLICY = {
    "name": NAME,
    "is_default": Spec("Default policy", "Holds for everyone without a policy of their own. There is exactly one."),
    "max_desktops": Spec("Desktops at a time", "Empty: as many as the pools below allow.", "desktops", 1, 1000),
    "auto_open": Spec("Open the only desktop at once", "The portal opens it after two seconds, unless stopped."),
    "session_idle_minutes": Spec("Log out of the portal when idle for", "", "minutes", 1, 10_080),
    "session_hours": Spec("Log out of the portal after", "", "hours", 1, 168),
    **FACTORS,
    "passkey_log_in": Spec(
        "A passkey may replace the password", "For who makes one for that. Whoever holds it is verified by its device."
    ),
    "assignments": Spec("Pools", "What is offered, in this order."),
    "assignments.id": Spec("Id", "Of the line, when it exists already: keeps what it has given out."),
    "assignments.pool_id": Spec("Pool"),
    "assignments.quantity": Spec("Desktops of this pool", "", "desktops", 1, 1000),
    "assignments.order": Spec("Prefer"),
    "assignments.start_if_stopped": Spec("Offer stopped desktops", "They are started when opened."),
    "assignments.offer_without_agent": Spec("Offer desktops without a running agent"),
    "assignments.prevent_release": Spec("Users may not release"),
    "assignments.display": Spec("Call it by", choices=("desktop", "pool", "display name")),
    "assignments.power_buttons": Spec("Users may restart"),
    "assignments.protocol_plan_id": Spec("Protocol plan"),
    "assignments.power_plan_id": Spec("Power plan"),
    "assignments.release_plan_id": Spec("Release plan"),
}

_POWER_PLAN = (
    {"name": NAME}
    | {
        f"on_{event}{suffix}": spec
        for event, title in (("disconnect", "a disconnect"), ("log_out", "a log-out"), ("release", "a release"))
        for suffix, spec in (
            ("", Spec(f"After {title}", choices=POWER_ACTIONS)),
            ("_minutes", _minutes(f"Wait after {title}", "0 acts at once.")),
        )
    }
    | {
        "on_idle": Spec(
            "When nobody touches keyboard and mouse", "An agent must run there, to see that.", choices=POWER_ACTIONS
        ),
        "on_idle_minutes": Spec("For so long", "", "minutes", 5, MINUTES_A_YEAR),
    }
)

_RELEASE_PLAN = {
    "name": NAME,
    "log_out_after_disconnect_minutes": _minutes("Log out after a disconnect of", "Empty: never."),
    "release_after_disconnect_minutes": _minutes("Release after a disconnect of", "Empty: never."),
    "release_after_log_out_minutes": _minutes("Release after log-out", "0: at once; empty: never."),
    "delete_after_release": Spec("Delete the desktop when released", "Only where the desktop is deletable."),
    "release_if_never_connected_minutes": _minutes("Release if never connected within", "Empty: never."),
    "release_after_minutes": _minutes("Release in any case after", "Empty: never."),
    "lock_after_idle_minutes": _idle("Lock the screen after"),
    "disconnect_after_idle_minutes": _idle("Disconnect after"),
    "log_out_after_idle_minutes": _idle("Log out after"),
}

DIRECTORY = {
    "name": NAME,
    "kind": Spec("Kind", "What sort of directory this is."),
    "settings": Spec("Settings", "How to reach it; depends on the kind."),
    "domains": Spec(
        "Domains", "By which its people name it, such as corp.example and CORP: ada@corp.example, CORP\\ada."
    ),
    "position": Spec("Order", "Asked from the lowest number up, until one knows the name.", "", 0, 1_000_000),
    "active": Spec("Active", "Nobody logs in by an inactive one; who is logged in stays so."),
    "ask_bare_names": Spec("Ask about names without a domain", "Off: only about names with one of its domains."),
    "connections": Spec(
        "Log-ins at a time", "More wait in line; no other directory is slowed by that.", "", 1, 64, advanced=True
    ),
    "rules": Spec("Assignment rules", "From top to bottom; the first that holds gives role and policy."),
    "rules.attribute": Spec("Who", "group, or an attribute such as department. Empty: everybody."),
    "rules.operator": Spec("Condition", choices=("eq", "ne", "ct", "nc", "bw", "ew", "gt", "lt")),
    "rules.text": Spec("Value"),
    "rules.location_id": Spec("At the location"),
    "rules.role_id": Spec("Role"),
    "rules.policy_id": Spec("Policy"),
    "default_role_id": Spec("Role of everybody else", "Empty: who meets no rule does not come in."),
    "default_policy_id": Spec("Policy of everybody else", "Empty: the default policy."),
    "provisioned": Spec(
        "People are provisioned by SCIM 2.0",
        "At /scim/v2/ID of this portal, with an API token of somebody who may change directories. Only who was provisioned comes in.",
    ),
    "when_disabled": Spec(
        "When somebody is disabled there",
        "They open no desktop any more, at once. What they have open stays, is locked, or they are logged out of the portal and their desktops.",
        choices=("keep", "lock", "log_out"),
    ),
}

FIELDS: Mapping[str, Mapping[str, Spec]] = {
    "centers": {
        "name": NAME,
        "kind": Spec("Kind", "Which cloud, or other source of desktops, this is."),
        "notes": NOTES,
        "settings": Spec("Settings", "How to reach it; depends on the kind."),
        "active": Spec("Active", "An inactive center is not asked for anything; its desktops stay as they are."),
        "offer_desktops": Spec("Offer its desktops"),
        "new_as_deletable": Spec(
            "Found desktops are deletable", "Portico may delete machines that it did not make.", advanced=True
        ),
        "start_unavailable": Spec(
            "Found desktops are unavailable", "Until somebody sets them available.", advanced=True
        ),
        "realm": Spec(
            "Realm",
            "Names the network that its addresses belong to, where tenants' addresses overlap.",
            longest=40,
            advanced=True,
        ),
        "scan_seconds": Spec("Look for changes every", "", "seconds", 5, 86_400, advanced=True),
        "fast_scan_seconds": Spec("While something changes, every", "", "seconds", 1, 3600, advanced=True),
        "full_pass_seconds": Spec("Look at everything every", "", "seconds", 30, 604_800, advanced=True),
    },
    "pools": _POOL,
    "policies": _POLICY,
    "protocol-plans": {
        "name": NAME,
        "protocols": Spec("Protocols", "Best first."),
        "clipboard_in": Spec("Clipboard into the desktop"),
        "clipboard_out": Spec("Clipboard out of the desktop"),
        "files_in": Spec("Files into the desktop", "By the panel of a terminal, and by the clipboard of RDP."),
        "files_out": Spec("Files out of the desktop", "By the panel of a terminal, and by the clipboard of RDP."),
        "drives": Spec("Drives of the device", "For RDP clients of a device; browsers have none."),
        "printers": Spec("Printers of the device", "For RDP clients of a device."),
        "usb": Spec("USB devices", "For RDP clients of a device."),
        "view_only": Spec("View only", "No keyboard, no mouse."),
        "idle_minutes": Spec("End a session without input after", "Empty: never.", "minutes", 1, 10_080),
        "max_minutes": Spec(
            "End a session in any case after", "Empty: never. A new one may be opened.", "minutes", 1, 10_080
        ),
        "watermark": Spec(
            "Watermark",
            "Laid over the picture in the browser; {USER}, {DESKTOP} and {TIME} are filled in. It deters, and can hold nobody back.",
        ),
        "recording": Spec(
            "Record sessions",
            "What people see in the browser. Clients of a device cannot be recorded, so they are refused.",
            choices=("off", "on", "required"),
        ),
        "shadowing": Spec(
            "Let somebody join a session",
            "Whoever may, can ask the person; nothing is shown before the person has agreed, and the person can end it at any time. "
            "Only sessions in a browser can be joined.",
            choices=("off", "view", "control"),
        ),
        "forward": Spec(
            "Ports for clients of a device",
            "How a gateway lets a client of another protocol than RDP through: on the desktop's own port, on one of its own that takes "
            "only the person's address, or on one that takes the first address that comes. Off: clients go to the desktop's address.",
            choices=("same_port", "random_filtered", "random_open", "off"),
        ),
        "gateway_group_id": Spec(
            "Through the gateways of", "Empty: as the person's location says, else any that reach the desktop."
        ),
        "deep_colour": Spec(
            "32 bits a pixel for RDP in the browser",
            "Off for a desktop that shows no picture with it.",
            advanced=True,
        ),
    },
    "power-plans": _POWER_PLAN,
    "release-plans": _RELEASE_PLAN,
    "roles": {
        "name": NAME,
        "areas": Spec("Console", f'Area → "view" or "edit". Areas: {", ".join(AREAS)}.'),
        "restricted": Spec(
            "Only some pools and centers", "The console shows and changes only those below, and their desktops."
        ),
        "pools": Spec("Pools", "With the pools below them."),
        "centers": Spec("Centers", "With their images, and all their desktops."),
        "may_log_in": Spec("May log in to the portal"),
        "may_release": Spec("May release desktops"),
        "may_power": Spec("May restart desktops"),
        "may_use_api": Spec("May use the API"),
        "may_administer_desktop": Spec(
            "Administrators of their desktop", "While they are at work there; an agent must run on it."
        ),
        "may_join_rdp_users": Spec(
            "In the desktop's group for RDP", "While they are at work there; an agent must run on it."
        ),
        **FACTORS,
    },
    "users": {
        "login_name": Spec("User name", "What the person types to log in."),
        "display_name": Spec("Full name"),
        "email": Spec("Email"),
        "password": Spec(
            "Password", "At least 12 characters. Left out for a new user, one is made.", longest=1024, secret=True
        ),
        "role_id": Spec("Role"),
        "policy_id": Spec("Policy", "Empty: the default policy."),
        "disabled": Spec("Disabled", "May not log in."),
        "service": Spec("Service account", "For a program: it has API tokens, and nobody logs in as it."),
        "must_change_password": Spec("Must change the password at the next log-in"),
    },
    "desktops": {
        "display_name": Spec("Display name", "What users see where the policy says so."),
        "notes": NOTES,
        "tags": Spec("Tags"),
        "status": Spec("Status", "Only available desktops are offered.", choices=("available", "unavailable")),
        "maintenance": Spec("Maintenance", "Not offered, and no plan touches it."),
        "deletable": Spec("Allow this desktop to be deleted from disk"),
        "max_sessions": Spec("Sessions at a time", "", "", 1, 1000),
    },
    "tenants": {
        "name": NAME,
        "path": Spec("Path of its log-in page", "Such as acme, for /t/acme. Empty: none.", longest=39),
        "hosts": Spec("Host names of its log-in page", "Such as desktops.acme.example."),
    },
    "directories": DIRECTORY,
    "radius-servers": RADIUS,
    "locations": {
        "name": NAME,
        "position": Spec("Order", "The first location that fits counts, from the lowest number up.", "", 0, 1_000_000),
        "join": Spec("Match", "Whether all conditions must hold, or any one.", choices=("and", "or")),
        "conditions": Spec("Conditions", "None: every client."),
        "conditions.attribute": Spec("Attribute", choices=tuple(ATTRIBUTES)),
        "conditions.operator": Spec("Condition", choices=("eq", "ne", "ct", "nc", "bw", "ew", "gt", "lt", "ip", "np")),
        "conditions.text": Spec(
            "Value",
            "An operating system is windows, macos, linux, chromeos, android or ios; a network card is written 52:54:00:12:34:56. "
            "Only the address is seen by Portico; all else is what the device says of itself.",
        ),
        "gateway_group_id": Spec(
            "Through the gateways of", "Empty: any that reach the desktop. A protocol plan that names a group wins."
        ),
        "direct": Spec(
            "No gateway needed",
            "Clients of a device go to the desktop's own address from there. Browsers always come through a gateway.",
        ),
    },
    "clients": {
        "name": Spec("Name", "Of the device, for administrators. At first what it says itself.", longest=100),
        "notes": NOTES,
    },
    "gateway-groups": {
        "name": NAME,
        "balance": Spec(
            "Who is chosen",
            "Where sites have addresses of their own, people can stay at the gateway at whose address they logged in; others get the one "
            "with the fewest sessions. Behind a balancer any of them takes anybody.",
            choices=BALANCES,
        ),
        "public_url": Spec(
            "Address of the balancer",
            "Such as https://desktops.example.com, where any of them may be chosen. Empty: the portal's.",
        ),
        "may_reach": Spec(
            "Networks that they may reach",
            "Such as 10.20.0.0/16. Desktops elsewhere are not led through them. None: everywhere.",
        ),
    },
    "gateways": {
        "name": NAME,
        "group_id": Spec("Group", "Gateways of a group stand in for one another."),
        "draining": Spec("Draining", "Takes no new sessions; running ones go on."),
    },
    "join-keys": {
        "name": NAME,
        "center_id": Spec("Center", "Only desktops of this center; none: of all."),
        "days": Spec("Valid for", "Empty: until it is revoked.", "days", 1, 3650),
    },
    "settings": {"value": Spec("Value")},
    "tokens": {
        "name": NAME,
        "days": Spec("Valid for", "Empty: until it is revoked.", "days", 1, 3650),
        "scopes": Spec(
            "May do",
            f'Area → "view" or "edit", never more than its owner. Empty: all that the owner may. Areas: {PORTAL} (the owner\'s own desktops), {", ".join(AREAS)}.',
        ),
        "networks": Spec("Only from", "Networks such as 10.1.0.0/16. None: from everywhere."),
        "user_id": Spec("Whose", "Id of a service account. Empty: one's own."),
    },
}
