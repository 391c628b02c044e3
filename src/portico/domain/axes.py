"""The axes along which desktops and assignments vary, each with its words. The rest of the code takes them from domain.model."""

from enum import StrEnum


class Status(StrEnum):
    """May a desktop be offered at all? Only `available` ones are."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"
    DUPLICATE = "duplicate"
    DELETED = "deleted"


class Power(StrEnum):
    """What the cloud says about a machine's power."""

    RUNNING = "running"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    STARTING = "starting"
    STOPPING = "stopping"
    SHELVED = "shelved"
    PAUSED = "paused"
    ERROR = "error"
    UNKNOWN = "unknown"


class PowerAction(StrEnum):
    """What a cloud can be asked to do with a machine's power."""

    START = "start"
    STOP = "stop"  # cut the power
    SHUTDOWN = "shutdown"  # ask the operating system
    REBOOT = "reboot"
    RESET = "reset"  # hard reboot
    SUSPEND = "suspend"
    RESUME = "resume"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    REBUILD = "rebuild"


class AgentState(StrEnum):
    """How the agent of a desktop is doing."""

    NOT_INSTALLED = "not installed"
    WAITING = "waiting"  # it knows a broker's address and has not been admitted
    RUNNING = "running"
    UNREACHABLE = "unreachable"
    PENDING_REBOOT = "pending reboot"


class SessionState(StrEnum):
    """Who is at work on a desktop, as agent and gateway report it."""

    NONE = "none"
    LOGGED_ON = "logged on"
    DISCONNECTED = "disconnected"
    LOCKED = "locked"
    IDLE = "idle"
    UNKNOWN = "unknown"


class Stage(StrEnum):
    """How far a desktop that Portico makes has come; machines found by inventory are `ready` at once."""

    INTENT = "intent"  # recorded, nothing asked of the cloud yet
    CREATING = "creating"  # asked, no answer recorded yet: the outcome is unknown
    BUILDING = "building"  # the cloud has accepted and works on it
    PREPARING = "preparing"  # built; waiting for its agent or its ports
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    GONE = "gone"
    QUARANTINED = "quarantined"  # nobody knows whether the last user has left


class AssignmentMode(StrEnum):
    """Why somebody has a desktop."""

    POLICY = "policy"
    HARD_USER = "hard user"
    HARD_CLIENT = "hard client"
    SCHEDULED = "scheduled"
    ROGUE = "rogue"


class AssignmentState(StrEnum):
    """A live assignment's life; see domain.states for what leads where."""

    ASSIGNED = "assigned"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    LOGGED_OUT = "logged out"
    RELEASING = "releasing"
    RELEASED = "released"


class Order(StrEnum):
    """Which of several equal desktops is preferred."""

    RANDOM = "random"
    PREVIOUS = "previously assigned"
    OLDEST = "oldest first"
    LEAST_RECENT = "least recently offered"
    RUNNING = "running first"
