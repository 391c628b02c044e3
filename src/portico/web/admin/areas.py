"""The areas of the console: what each is called, which columns its list has and how its form is laid out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from portico.web.rendering import N_


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list. `kind`: text, name, state, number, time, mono, flag or reason; `axis` tells which words a state has."""

    name: str
    label: str
    kind: str = "text"
    axis: str = ""
    sorts: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a form that folds. Fields are named by their path in the item."""

    title: str
    fields: tuple[str, ...]
    help: str = ""
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Area:
    """One noun of the console. `access` is the area of the role that opens it."""

    noun: str
    title: str
    one: str
    icon: str
    access: str
    about: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...] = ()
    filters: tuple[tuple[str, str], ...] = ()  # (query, label)
    create: str = ""  # the button's words; empty: nobody makes one by hand
    deletes: bool = False
    bulk: bool = False
    history: str = ""  # the filter of events that finds what happened to one
    topics: str = ""
    sort: str = "name"
    group: tuple[str, ...] = field(default=())  # nouns that share a place in the navigation
    family: str = ""  # what the group is called
    facts: tuple[str, ...] = ()  # the columns that a narrow screen shows under name and state


def _name(label: str = N_("Name"), name: str = "name") -> Column:
    return Column(name, label, "name")


CENTERS = ("centers", "leaks")
DESKTOPS = ("desktops", "waiting-agents", "join-keys")
SESSIONS = ("desktop-sessions", "sessions", "clients", "recordings")
GATEWAYS = ("gateways", "gateway-groups")
DIRECTORIES = ("directories", "radius-servers")
PLANS = ("protocol-plans", "power-plans", "release-plans")

_AREAS = (
    Area(
        "desktops", N_("Desktops"), N_("desktop"), "monitor", "desktops",
        N_("Machines that people work on. They come from your centers: found by inventory, or built for a pool."),
        (
            _name(),
            Column("state", N_("State"), "state", "desktop", sorts=False),
            Column("power", N_("Power"), "state", "power"),
            Column("agent", N_("Agent"), "state", "agent"),
            Column("user", N_("Assigned to"), sorts=False),
            Column("pools", N_("Pools"), sorts=False),
            Column("center", N_("Center"), sorts=False),
            Column("address", N_("Address"), "mono"),
        ),
        (
            Section(N_("Desktop"), ("display_name", "status", "maintenance", "notes")),
            Section(N_("More"), ("max_sessions", "deletable", "tags"), is_open=False),
        ),
        (
            ("status:available", N_("Available")), ("session:logged_on", N_("In use")), ("stage:building", N_("Building")),
            ("stage:failed", N_("Failed")), ("power:stopped", N_("Stopped")), ("maintenance:true", N_("Maintenance")),
        ),
        deletes=True, bulk=True, history="desktop", facts=("user", "pools"), topics="desktops assignments",
        group=DESKTOPS, family=N_("Desktops"),
    ),
    Area(
        "waiting-agents", N_("Waiting agents"), N_("waiting agent"), "hourglass", "desktops",
        N_("Agents of machines that Portico has not made itself, such as those of master images. Each says who it is; nobody has vouched for it yet."),
        (
            _name(N_("Says it is")), Column("state", N_("State"), "state", "waiting agent", sorts=False),
            Column("desktop", N_("Desktop"), sorts=False), Column("why", N_("Why"), "reason", sorts=False),
            Column("source_address", N_("From"), "mono", sorts=False), Column("service", N_("Metadata"), "state", "metadata", sorts=False),
            Column("created_at", N_("Since"), "time"),
        ),
        filters=(("state:waiting", N_("Waiting")), ("state:refused", N_("Refused")), ("state:admitted", N_("Admitted"))),
        sort="-created_at", group=DESKTOPS, family=N_("Desktops"), facts=("desktop", "source_address"), topics="desktops",
    ),
    Area(
        "join-keys", N_("Join keys"), N_("join key"), "key-round", "desktops",
        N_("A join key in an image admits its agents by itself, to desktops that have none yet. Give each image its own."),
        (
            _name(), Column("center", N_("Center"), sorts=False), Column("uses", N_("Agents admitted"), "number", sorts=False),
            Column("used_at", N_("Last used"), "time", sorts=False), Column("expires_at", N_("Ends"), "time"),
        ),
        (Section(N_("Join key"), ("name", "center_id", "days")),),
        create=N_("Make a join key"), deletes=True, group=DESKTOPS, family=N_("Desktops"), facts=("uses", "expires_at"), topics="desktops",
    ),
    Area(
        "pools", N_("Pools"), N_("pool"), "boxes", "pools",
        N_("A pool is a set of desktops, found by a rule or built when they run low. Policies offer desktops from pools."),
        (
            _name(),
            Column("state", N_("Provisioning"), "state", "pool", sorts=False),
            Column("counts.total", N_("Total"), "number", sorts=False),
            Column("counts.assigned", N_("Assigned"), "number", sorts=False),
            Column("counts.available", N_("Available"), "number", sorts=False),
            Column("counts.building", N_("Building"), "number", sorts=False),
            Column("updated_at", N_("Changed"), "time"),
        ),
        (
            Section(N_("Pool"), ("name", "parent_id")),
            Section(
                N_("Which desktops belong to it"), ("rule.own_builds", "rule.centers", "rule.join", "rule.rules"),
                N_("All desktops that match. Those that are built for the pool must match as well."), False,
            ),
            Section(
                N_("What is built"),
                (
                    "provisioning.center_id", "provisioning.image", "provisioning.flavor", "provisioning.name_template",
                    "provisioning.display_name_template", "provisioning.deletable",
                ),
                N_("Portico builds desktops so that some are always free."),
            ),
            Section(
                N_("Where"),
                (
                    "provisioning.network", "provisioning.placement.zone", "provisioning.placement.security_groups",
                    "provisioning.placement.default_security_group", "provisioning.placement.floating_ip",
                    "provisioning.placement.floating_network",
                ),
            ),
            Section(
                N_("Limits"),
                (
                    "provisioning.limits.enabled", "provisioning.limits.start_below", "provisioning.limits.stop_at",
                    "provisioning.enforce", "provisioning.count_only_available",
                ),
            ),
            Section(
                N_("When"), ("provisioning.time_limits", "provisioning.time_zone"),
                N_("Windows of time have limits of their own, such as fewer desktops at night. The first open one holds."), False,
            ),
            Section(
                N_("After the build"), ("provisioning.actions", "provisioning.start_unavailable"),
                N_("Done in this order, once, with each new desktop as soon as it answers."), False,
            ),
            Section(
                N_("More about new desktops"),
                (
                    "provisioning.placement.volume", "provisioning.placement.server_group", "provisioning.placement.key_pair",
                    "provisioning.placement.config_drive", "provisioning.placement.metadata", "provisioning.user_data",
                    "provisioning.sequence_start", "provisioning.max_sessions", "provisioning.options",
                ),
                is_open=False,
            ),
        ),
        create=N_("Create pool"), deletes=True, history="pool", facts=("counts.assigned", "counts.total"), topics="pools desktops",
    ),
    Area(
        "images", N_("Images"), N_("image"), "disc", "images",
        N_("What new desktops are made from. Images appear here when a center is scanned."),
        (
            _name(), Column("center", N_("Center"), sorts=False), Column("os_family", N_("System")),
            Column("min_disk_gib", N_("Disk, GiB"), "number"), Column("min_ram_mib", N_("Memory, MiB"), "number"),
            Column("visibility", N_("Visibility")), Column("boot_seconds", N_("Starts in, s"), "number", sorts=False),
            Column("seen_at", N_("Seen"), "time"),
        ),
        facts=("center", "os_family"), topics="images",
    ),
    Area(
        "centers", N_("Centers"), N_("center"), "cloud", "centers",
        N_("A center is a cloud project, or another source of machines, that desktops come from."),
        (
            _name(), Column("status", N_("State"), "state", "center", sorts=False), Column("kind", N_("Kind")),
            Column("scanned_at", N_("Scanned"), "time", sorts=False), Column("updated_at", N_("Changed"), "time"),
        ),
        (Section(N_("Center"), ("name",)), Section(N_("How to reach it"), ("settings",))),
        create=N_("Connect a center"), deletes=True, history="center", facts=("kind", "scanned_at"), topics="centers images",
        group=CENTERS, family=N_("Centers"),
    ),
    Area(
        "leaks", N_("Leaks"), N_("leak"), "triangle-alert", "centers",
        N_("Things in your clouds that carry our tag and that no desktop needs. Nothing here is deleted by itself."),
        (
            _name(), Column("kind", N_("Kind")), Column("state", N_("State"), "state", "leak", sorts=False),
            Column("center", N_("Center"), sorts=False), Column("why", N_("Why"), "reason", sorts=False),
            Column("created_at", N_("Found"), "time"),
        ),
        filters=(("state:open", N_("Left over")), ("state:kept", N_("Kept")), ("kind:machine", N_("Machines"))),
        sort="-created_at", group=CENTERS, family=N_("Centers"), facts=("kind", "created_at"), topics="centers",
    ),
    Area(
        "policies", N_("Policies"), N_("policy"), "shield", "policies",
        N_("A policy says what a person is offered: how many desktops of which pools, and under which plans."),
        (
            _name(), Column("is_default", N_("Default"), "flag", sorts=False),
            Column("pool_names", N_("Pools"), sorts=False), Column("max_desktops", N_("At most"), "number", sorts=False),
            Column("updated_at", N_("Changed"), "time"),
        ),
        (
            Section(N_("Policy"), ("name", "is_default", "max_desktops", "auto_open")),
            Section(N_("Pools to offer from"), ("assignments",), N_("From top to bottom. What a person already has comes first.")),
            Section(N_("Portal session"), ("session_idle_minutes", "session_hours"), is_open=False),
            Section(N_("Proof at the log-in"), ("second_factor_required", "radius_id", "radius_or_own", "passkey_log_in"), is_open=False),
        ),
        create=N_("Create policy"), deletes=True, facts=("pool_names", "max_desktops"), topics="policies",
    ),
    Area(
        "protocol-plans", N_("Protocol plans"), N_("protocol plan"), "plug", "plans",
        N_("A protocol plan says how people reach a desktop, and what a session may do."),
        (_name(), Column("protocols", N_("Protocols"), sorts=False), Column("clipboard_in", N_("Clipboard in"), "flag", sorts=False),
         Column("clipboard_out", N_("Clipboard out"), "flag", sorts=False), Column("updated_at", N_("Changed"), "time")),
        (Section(N_("Protocol plan"), ("name", "protocols")), Section(N_("In the session"), ("clipboard_in", "clipboard_out", "files_in", "files_out", "drives", "printers", "usb", "view_only")),
         Section(N_("Time"), ("idle_minutes", "max_minutes")), Section(N_("Others see it"), ("shadowing", "recording", "watermark")), Section(N_("Gateway"), ("gateway_group_id", "forward")), Section(N_("Pictures"), ("deep_colour",), is_open=False)),
        create=N_("Create protocol plan"), deletes=True, group=PLANS, family=N_("Plans"), facts=("protocols", "updated_at"), topics="plans",
    ),
    Area(
        "locations", N_("Locations"), N_("location"), "map-pin", "locations",
        N_("A location is a set of clients, by address, system or kind. It says how they come to their desktops."),
        (_name(), Column("position", N_("Order"), "number", sorts=False), Column("gateway_group", N_("Through the gateways of"), sorts=False),
         Column("direct", N_("No gateway needed"), "flag", sorts=False), Column("updated_at", N_("Changed"), "time")),
        (Section(N_("Location"), ("name", "position")),
         Section(N_("Which clients are there"), ("join", "conditions"), N_("Without a condition it is every client.")),
         Section(N_("The way to desktops"), ("gateway_group_id", "direct"))),
        create=N_("Create location"), deletes=True, facts=("position", "gateway_group"), topics="locations",
    ),
    Area(
        "power-plans", N_("Power plans"), N_("power plan"), "power", "plans",
        N_("A power plan says what happens to a desktop's power after a disconnect, a log-out or a release, or when nobody uses it."),
        (_name(), Column("on_disconnect", N_("After disconnect"), sorts=False), Column("on_log_out", N_("After log-out"), sorts=False),
         Column("on_release", N_("After release"), sorts=False), Column("updated_at", N_("Changed"), "time")),
        (Section(N_("Power plan"), ("name",)),
         Section(N_("After a disconnect"), ("on_disconnect", "on_disconnect_minutes")),
         Section(N_("After a log-out"), ("on_log_out", "on_log_out_minutes")),
         Section(N_("After a release"), ("on_release", "on_release_minutes")),
         Section(N_("While it is not used"), ("on_idle", "on_idle_minutes"))),
        create=N_("Create power plan"), deletes=True, group=PLANS, family=N_("Plans"), facts=("on_disconnect", "on_log_out"), topics="plans",
    ),
    Area(
        "release-plans", N_("Release plans"), N_("release plan"), "undo-2", "plans",
        N_("A release plan says when a desktop is taken back, and whether it is deleted then."),
        (_name(), Column("release_after_log_out_minutes", N_("After log-out, minutes"), "number", sorts=False),
         Column("release_after_disconnect_minutes", N_("After disconnect, minutes"), "number", sorts=False),
         Column("delete_after_release", N_("Deletes"), "flag", sorts=False), Column("updated_at", N_("Changed"), "time")),
        (Section(N_("Release plan"), ("name",)),
         Section(N_("When it is taken back"), (
             "release_after_log_out_minutes", "log_out_after_disconnect_minutes", "release_after_disconnect_minutes",
             "release_if_never_connected_minutes", "release_after_minutes")),
         Section(N_("While it is not used"), (
             "lock_after_idle_minutes", "disconnect_after_idle_minutes", "log_out_after_idle_minutes")),
         Section(N_("What happens then"), ("delete_after_release",))),
        create=N_("Create release plan"), deletes=True, group=PLANS, family=N_("Plans"), facts=("release_after_log_out_minutes", "release_after_disconnect_minutes"), topics="plans",
    ),
    Area(
        "users", N_("Users"), N_("user"), "users", "users",
        N_("People who may log in. Their role says what they may do, their policy what they are offered."),
        (_name(N_("User name"), "login_name"), Column("state", N_("State"), "state", "user", sorts=False),
         Column("display_name", N_("Full name")), Column("comes_from", N_("Directory"), sorts=False), Column("role", N_("Role"), sorts=False), Column("policy", N_("Policy"), sorts=False),
         Column("last_login_at", N_("Last log-in"), "time")),
        (Section(N_("Person"), ("login_name", "display_name", "email")),
         Section(N_("What they may do"), ("role_id", "policy_id", "disabled")),
         Section(N_("Password"), ("password", "must_change_password")),
         Section(N_("Program"), ("service",), is_open=False)),
        (("disabled:true", N_("Disabled")), ("disabled:false", N_("Active")), ("service:true", N_("Service accounts"))),
        create=N_("Add user"), deletes=True, history="user", sort="login_name", facts=("role", "last_login_at"), topics="users",
    ),
    Area(
        "directories", N_("Directories"), N_("directory"), "book-user", "directories",
        N_("Where people come from who are not kept here, and the rules by which they get a role and a policy."),
        (_name(), Column("kind_name", N_("Kind"), sorts=False), Column("domains", N_("Domains"), "mono", sorts=False), Column("position", N_("Order"), "number", sorts=False),
         Column("active", N_("Active"), "flag", sorts=False), Column("updated_at", N_("Changed"), "time")),
        (Section(N_("Directory"), ("name", "domains", "position", "active", "ask_bare_names")), Section(N_("How to reach it"), ("settings",)),
         Section(N_("Who gets what"), ("rules", "default_role_id", "default_policy_id"), N_("From top to bottom; the first rule that holds counts.")),
         Section(N_("When somebody leaves"), ("when_disabled", "provisioned"), is_open=False)),
        create=N_("Connect a directory"), deletes=True, facts=("kind_name", "domains"), topics="directories",
        group=DIRECTORIES, family=N_("Directories"),
    ),
    Area(
        "radius-servers", N_("RADIUS servers"), N_("entry of RADIUS servers"), "shield", "directories",
        N_("Servers that check the codes of tokens and phones. A policy or a role that names them demands such a code at the log-in."),
        (_name(), Column("servers", N_("Servers"), "mono", sorts=False), Column("push", N_("Asks the phone"), "flag", sorts=False),
         Column("updated_at", N_("Changed"), "time")),
        (Section(N_("RADIUS servers"), ("name", "servers", "secret", "timeout_seconds")), Section(N_("What is asked"), ("send_name", "push"))),
        create=N_("Add RADIUS servers"), deletes=True, facts=("servers", "push"), topics="directories", group=DIRECTORIES, family=N_("Directories"),
    ),
    Area(
        "roles", N_("Roles"), N_("role"), "id-card", "roles",
        N_("A role says what its people may do in the portal, and how far they reach into this console."),
        (_name(), Column("may_log_in", N_("Portal"), "flag", sorts=False), Column("may_release", N_("Give back"), "flag", sorts=False),
         Column("may_power", N_("Restart"), "flag", sorts=False), Column("may_use_api", N_("API"), "flag", sorts=False),
         Column("reach", N_("Reach"), sorts=False), Column("builtin", N_("Built in"), "flag", sorts=False)),
        (Section(N_("Role"), ("name",)), Section(N_("In the portal"), ("may_log_in", "may_release", "may_power", "may_use_api")), Section(N_("Second factor"), ("second_factor_required", "radius_id", "radius_or_own")),
         Section(N_("On the desktop"), ("may_administer_desktop", "may_join_rdp_users")),
         Section(N_("In the console"), ("areas", "restricted", "pools", "centers"))),
        create=N_("Create role"), deletes=True, facts=("may_log_in", "builtin"), topics="roles",
    ),
    Area(
        "desktop-sessions", N_("On desktops"), N_("session"), "monitor-check", "sessions",
        N_("Who has which desktop: since when, and what happens next by its plans."), (), group=SESSIONS, family=N_("Sessions"),
        topics="assignments desktops",
    ),
    Area(
        "sessions", N_("In the portal"), N_("session"), "monitor-check", "sessions",
        N_("Who is logged in to the portal, from where, and since when."),
        (Column("user", N_("User"), "name", sorts=False), Column("kind", N_("Kind"), sorts=False), Column("client_address", N_("From"), "mono", sorts=False),
         Column("created_at", N_("Since"), "time"), Column("seen_at", N_("Last seen"), "time", sorts=False),
         Column("expires_at", N_("Ends at the latest"), "time", sorts=False), Column("end", "", "end", sorts=False)),
        sort="-created_at", group=SESSIONS, family=N_("Sessions"), facts=("client_address", "seen_at"), topics="sessions",
    ),
    Area(
        "clients", N_("Clients"), N_("client"), "laptop", "clients",
        N_("Devices at which people have logged in. A record says what a device tells of itself; locations may ask for that."),
        (_name(), Column("system", N_("Operating system"), sorts=False), Column("software", N_("Software"), sorts=False), Column("device", N_("Device"), sorts=False),
         Column("address", N_("Address"), "mono"), Column("user", N_("Last user"), sorts=False), Column("seen_at", N_("Last seen"), "time")),
        (Section(N_("Client"), ("name", "notes")),),
        (("kind:web", N_("Browsers")), ("kind:api", N_("Programs"))),
        deletes=True, sort="-seen_at", facts=("user", "seen_at"), topics="clients", group=SESSIONS, family=N_("Sessions"),
    ),
    Area(
        "recordings", N_("Recordings"), N_("recording"), "video", "recordings",
        N_("What people saw in sessions that their protocol plan has recorded. Each look at one is an event."),
        (_name(N_("Desktop")), Column("user_name", N_("User")), Column("protocol", N_("Protocol"), sorts=False),
         Column("state", N_("State"), "state", "recording", sorts=False), Column("megabytes", N_("MB"), "number", sorts=False),
         Column("created_at", N_("Begun"), "time")),
        filters=(("state:complete", N_("Complete")), ("state:cut_off", N_("Breaks off")), ("state:expected", N_("Not here yet"))),
        deletes=True, sort="-created_at", facts=("user_name", "created_at"), topics="recordings", group=SESSIONS, family=N_("Sessions"),
    ),
    Area(
        "gateways", N_("Gateways"), N_("gateway"), "network", "gateways",
        N_("A gateway carries the pictures and keystrokes between a person and a desktop."),
        (_name(), Column("state", N_("State"), "state", "heartbeat", sorts=False), Column("group", N_("Group"), sorts=False),
         Column("load.sessions", N_("Sessions"), "number", sorts=False), Column("version", N_("Version"), sorts=False),
         Column("heartbeat_at", N_("Last seen"), "time", sorts=False)),
        (Section(N_("Gateway"), ("name", "group_id", "draining")),),
        deletes=True, facts=("load.sessions", "heartbeat_at"), topics="gateways", group=GATEWAYS, family=N_("Gateways"),
    ),
    Area(
        "gateway-groups", N_("Gateway groups"), N_("gateway group"), "waypoints", "gateways",
        N_("Gateways of a group stand in for one another. A group says which networks they lead into, and which of them is chosen."),
        (_name(), Column("balance", N_("Who is chosen"), sorts=False), Column("may_reach", N_("May reach"), "mono", sorts=False),
         Column("updated_at", N_("Changed"), "time")),
        (Section(N_("Gateway group"), ("name", "may_reach")), Section(N_("Balance"), ("balance", "public_url"))),
        create=N_("Create gateway group"), deletes=True, facts=("balance", "may_reach"), topics="gateways",
        group=GATEWAYS, family=N_("Gateways"),
    ),
    Area(
        "brokers", N_("Brokers"), N_("broker"), "server", "brokers",
        N_("The brokers of this deployment. All are equal; any of them takes any job."),
        (_name(N_("Host"), "hostname"), Column("state", N_("State"), "state", "heartbeat", sorts=False), Column("version", N_("Version"), sorts=False),
         Column("started_at", N_("Started"), "time", sorts=False), Column("heartbeat_at", N_("Last seen"), "time", sorts=False)),
        sort="hostname", facts=("version", "heartbeat_at"), topics="brokers",
    ),
    Area(
        "jobs", N_("Jobs"), N_("job"), "list-checks", "jobs",
        N_("What Portico does in the background. A job that fails is tried again, later each time."),
        (Column("title", N_("Job"), "name", sorts=False), Column("target", N_("On"), sorts=False), Column("state", N_("State"), "state", "job", sorts=False),
         Column("error", N_("Why"), "reason", sorts=False), Column("tries", N_("Tries"), "number", sorts=False),
         Column("next_at", N_("Next try"), "time", sorts=False), Column("created_at", N_("Created"), "time")),
        filters=(("state:queued", N_("Waiting")), ("state:running", N_("Running")), ("state:failed", N_("Failed")), ("state:done", N_("Done"))),
        sort="-created_at", facts=("target", "next_at"), topics="jobs",
    ),
    Area(
        "events", N_("Events"), N_("event"), "activity", "events",
        N_("Everything that happened, who did it and why. Nothing here can be changed."),
        (Column("sentence", N_("Event"), "sentence", sorts=False), Column("at", N_("Time"), "time", sorts=False)),
        filters=(("level:warning", N_("Warnings")), ("level:error", N_("Errors")), ("code:login", N_("Log-ins"))),
        sort="-id", facts=("at",), topics="desktops pools users sessions jobs centers assignments policies plans roles gateways settings",
    ),
    Area(
        "settings", N_("Settings"), N_("setting"), "settings", "settings",
        N_("What holds for the whole deployment. Each setting has a default that is good for most."),
        (Column("title", N_("Setting"), "name", sorts=False), Column("value", N_("Value"), sorts=False), Column("updated_at", N_("Changed"), "time", sorts=False)),
        (Section(N_("Setting"), ("value",)),),
        facts=("value",), topics="settings",
    ),
)  # fmt: skip
AREAS: Mapping[str, Area] = {area.noun: area for area in _AREAS}

# The navigation, by what one does; a noun that shares a place stands for its group.
GROUPS = (
    (N_("Fleet"), ("desktops", "pools", "images", "centers")),
    (N_("Rules"), ("policies", "protocol-plans", "locations")),
    (N_("People"), ("users", "directories", "roles")),
    (N_("Running"), ("desktop-sessions", "gateways", "brokers", "jobs", "events", "settings")),
)
NAVIGATION_TITLES = {"protocol-plans": (N_("Plans"), "layers"), "desktop-sessions": (N_("Sessions"), "monitor-check")}
