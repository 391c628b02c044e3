"""The nouns of Portico as frozen records. Ids are UUID strings, times are aware UTC datetimes, spans say their unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portico.domain.axes import AgentState as AgentState
from portico.domain.axes import AssignmentMode as AssignmentMode
from portico.domain.axes import AssignmentState as AssignmentState
from portico.domain.axes import Order as Order
from portico.domain.axes import Power as Power
from portico.domain.axes import PowerAction as PowerAction
from portico.domain.axes import SessionState as SessionState
from portico.domain.axes import Stage as Stage
from portico.domain.axes import Status as Status
from portico.domain.client import Client as Client
from portico.domain.placing import BuildAction as BuildAction
from portico.domain.placing import Placement as Placement
from portico.domain.placing import RootVolume as RootVolume
from portico.domain.protocol_plan import ProtocolPlan as ProtocolPlan


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a decision fell as it did. `code` is stable (`pool.empty`); `params` fill the sentence; `because` is the chain."""

    code: str
    params: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    because: tuple["Reason", ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A person who may log in. `role_id` and `policy_id` are what the last log-in resolved (or, for local users, was set)."""

    id: str
    tenant_id: str
    login_name: str
    domain: str
    display_name: str
    email: str = ""
    role_id: str = ""
    policy_id: str | None = None
    disabled: bool = False
    must_change_password: bool = False
    directory: str = "local"
    barred: bool = False  # their directory does not let them in any more
    service: bool = False  # a program: it has API tokens, and neither logs in nor has desktops
    second_factor: bool = False  # they have set one up


@dataclass(frozen=True, slots=True)
class Desktop:
    """A machine that can be somebody's desktop, with its independent axes."""

    id: str
    tenant_id: str
    center_id: str
    name: str
    status: Status = Status.AVAILABLE
    power: Power = Power.UNKNOWN
    agent: AgentState = AgentState.NOT_INSTALLED
    session: SessionState = SessionState.NONE
    stage: Stage = Stage.READY
    stage_reason: str = ""
    display_name: str = ""
    external_id: str | None = None
    image_id: str | None = None
    os_family: str = ""
    address: str | None = None
    public_address: str | None = None
    realm: str = ""
    protocols: Mapping[str, int] = field(default_factory=dict)  # name → port
    deletable: bool = False
    maintenance: bool = False
    max_sessions: int = 1
    built_for_pool: str | None = None
    created_at: datetime | None = None
    deadline_at: datetime | None = None
    last_offered_at: datetime | None = None
    last_user_id: str | None = None
    free_seats: int = 1
    used_seats: int = 0
    epoch: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """Where brokers and gateways connect to: the floating IP where there is one, empty while there is no address.

        Whoever gives a machine a floating IP wants it reached from outside of its network, and from inside it answers too.
        """
        return self.public_address or self.address or ""


@dataclass(frozen=True, slots=True)
class ProvisionLimits:
    """When a pool builds desktops: below `start_below` unassigned ones, until `stop_at` in total. 0 = never."""

    enabled: bool = True
    start_below: int = 0
    stop_at: int = 0


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """Other limits for a time of the week, by the pool's wall clock; a window whose `stop` is not after its `start` wraps midnight."""

    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)  # 0 = Monday; the day on which the window starts
    start: str = "08:00"
    stop: str = "18:00"
    start_below: int = 0
    stop_at: int = 0


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """A pool's desktops at one moment; builds in flight are in `total` and `unassigned` (design section 8)."""

    total: int = 0
    assigned: int = 0
    unassigned: int = 0
    available: int = 0
    unavailable: int = 0
    building: int = 0
    failed: int = 0
    running: int = 0
    agent_running: int = 0
    connected: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a pool's attribute rule."""

    attribute: str
    operator: str  # eq ne ct nc bw ew gt lt ip np
    text: str


@dataclass(frozen=True, slots=True)
class PoolRule:
    """Which desktops belong to a pool: all of the parent's that are in `centers` (empty: any) and match the `rules`.

    With `own_builds`, only desktops that the pool itself has made.
    """

    centers: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    join: str = "and"  # "and" | "or"
    desktops: tuple[str, ...] = ()  # picked by hand; empty: any
    own_builds: bool = False


@dataclass(frozen=True, slots=True)
class Provisioning:
    """How a pool makes desktops."""

    limits: ProvisionLimits = field(default_factory=ProvisionLimits)
    center_id: str | None = None
    image: str | None = None  # the center's own id of the image
    flavor: str = ""
    network: str = ""
    name_template: str = "desktop-{SEQUENCE}"
    display_name_template: str = ""
    sequence_start: int = 1
    user_data: str = ""
    deletable: bool = False
    start_unavailable: bool = False
    max_sessions: int = 1
    enforce: bool = False  # also delete deletable, unassigned desktops that the pool has built beyond `stop_at`
    count_only_available: bool = False  # unavailable desktops do not count as unassigned
    time_limits: tuple[TimeLimit, ...] = ()
    time_zone: str = ""  # of the time limits; empty: the tenant's
    actions: tuple[BuildAction, ...] = ()
    placement: Placement = field(default_factory=Placement)
    options: Mapping[str, Any] = field(default_factory=dict)  # what only the center's driver knows


@dataclass(frozen=True, slots=True)
class Pool:
    """A set of desktops, defined by a rule, that policies offer from and that may be refilled."""

    id: str
    tenant_id: str
    name: str
    parent_id: str | None = None
    rule: PoolRule = field(default_factory=PoolRule)
    provisioning: Provisioning = field(default_factory=Provisioning)
    notes: str = ""
    next_sequence: int = 1
    build_epoch: int = 0
    failures_in_row: int = 0
    stopped_reason: str = ""  # the code of why provisioning stopped or pauses; empty while it works
    paused_until: datetime | None = None  # None with a reason: until an administrator acts
    version: int = 1


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """What happens to a desktop's power after an event; minutes ≥ 0, or None for never."""

    id: str
    tenant_id: str
    name: str
    on_disconnect: str = "none"  # none | shutdown | stop | suspend | reboot
    on_disconnect_minutes: int = 0
    on_log_out: str = "none"
    on_log_out_minutes: int = 0
    on_release: str = "none"
    on_release_minutes: int = 0
    on_idle: str = "none"
    on_idle_minutes: int = 30  # without keyboard and mouse, as the agent sees it
    version: int = 1


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """When a desktop is taken back, and whether it is deleted then; minutes, None = never."""

    id: str
    tenant_id: str
    name: str
    log_out_after_disconnect_minutes: int | None = None
    release_after_disconnect_minutes: int | None = None
    release_after_log_out_minutes: int | None = 0
    delete_after_release: bool = False  # only where the desktop is deletable
    release_if_never_connected_minutes: int | None = 15
    release_after_minutes: int | None = None
    lock_after_idle_minutes: int | None = None
    disconnect_after_idle_minutes: int | None = None
    log_out_after_idle_minutes: int | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class PoolAssignment:
    """One line of a policy: offer so many desktops out of this pool, with these plans."""

    id: str
    tenant_id: str
    policy_id: str
    pool_id: str
    position: int = 0
    quantity: int = 1
    order: Order = Order.PREVIOUS
    start_if_stopped: bool = True
    offer_without_agent: bool = True
    prevent_release: bool = False
    display: str = "pool"  # "desktop" | "pool" | "display name": what the card is called
    power_buttons: bool = False
    protocol_plan_id: str | None = None
    power_plan_id: str | None = None
    release_plan_id: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """What a user is offered. The default policy of a tenant offers nothing until an administrator sets it."""

    id: str
    tenant_id: str
    name: str
    is_default: bool = False
    max_desktops: int | None = None
    auto_open: bool = False  # open the only offer after a moment
    session_idle_minutes: int = 30
    session_hours: int = 12
    second_factor_required: bool = False
    radius_id: str | None = None  # whose codes are the second factor, which is demanded then
    radius_or_own: bool = False  # whether one that was set up here counts as well
    passkey_log_in: bool = False  # whether a passkey may replace the password
    assignments: tuple[PoolAssignment, ...] = ()
    version: int = 1


@dataclass(frozen=True, slots=True)
class Role:
    """What a user may do in the portal (`session`) and in the console (`areas`: area → "view" | "edit")."""

    id: str
    tenant_id: str
    name: str
    areas: Mapping[str, str] = field(default_factory=dict)
    may_log_in: bool = True
    may_release: bool = True
    may_power: bool = False
    may_use_api: bool = True
    may_administer_desktop: bool = False  # the desktop's own administrator, while they are at work there
    may_join_rdp_users: bool = False  # in the desktop's group of those who may come by RDP
    second_factor_required: bool = False
    radius_id: str | None = None
    radius_or_own: bool = False
    restricted: bool = False  # in the console, to `pools`, those below them, and `centers`
    pools: tuple[str, ...] = ()
    centers: tuple[str, ...] = ()
    builtin: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class Assignment:
    """A desktop that is somebody's now. `epoch` rises with every reconnect; timers name the epoch that armed them."""

    id: str
    tenant_id: str
    user_id: str
    desktop_id: str
    seat_id: str
    mode: AssignmentMode = AssignmentMode.POLICY
    state: AssignmentState = AssignmentState.ASSIGNED
    claim_key: str | None = None
    policy_id: str | None = None
    pool_id: str | None = None
    pool_assignment_id: str | None = None
    epoch: int = 1
    assigned_at: datetime | None = None
    connected_at: datetime | None = None
    disconnected_at: datetime | None = None
    logged_out_at: datetime | None = None
    released_at: datetime | None = None
    release_reason: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a user may open: an existing assignment (`assignment_id`) or the promise of one.

    `id` is opaque and stable: "<pool assignment id>.<ordinal>", or "a.<assignment id>" for what the user already has.
    """

    id: str
    name: str
    kind: str  # "linux" | "windows" | "application" | ""
    state: str  # "ready" | "in use" | "stopped" | "preparing" | "disconnected" | "unavailable"
    action: str  # "open" | "start" | "reconnect" | "wait" | "none"
    pool_id: str | None = None
    pool_assignment_id: str | None = None
    ordinal: int = 0
    desktop_id: str | None = None
    assignment_id: str | None = None
    protocols: tuple[str, ...] = ()
    may_release: bool = False
    may_power: bool = False
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class NoDesktop:
    """An everyday no: nothing could be given, and why."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Timer:
    """A thing to do with an assignment or desktop at a time, unless its epoch has moved on."""

    action: str  # "release" | "log_out" | "power" | "lock" | "disconnect"
    after_seconds: int
    reason: Reason
    argument: str = ""
