"""From an offer to a session: which desktop to try, over which protocol, and how far the way there has been gone."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from portico.domain.claims import claim_key as claim_key
from portico.domain.model import (
    AgentState,
    Assignment,
    Client,
    Desktop,
    NoDesktop,
    Order,
    Power,
    ProtocolPlan,
    Reason,
    Stage,
)
from portico.domain.offers import rank
from portico.domain.readiness import readiness
from portico.domain.states import IN_FLIGHT, USABLE

# Clients that carry a protocol themselves, and which ones; everyone else works in the browser, through the gateway.
NATIVE: Mapping[str, frozenset[str] | None] = {"connect": None, "pcoip": frozenset({"pcoip"})}
# What a plan may forbid, and only a gateway that understands the protocol can hold to.
BLIND = ("clipboard_in", "clipboard_out", "files_in", "files_out", "drives", "printers", "usb")


class ConnectStage(StrEnum):
    """Where a connection stands on its way, as the stage bar shows it."""

    FINDING = "finding"  # no desktop is assigned yet: the pool builds one
    STARTING = "starting"  # the machine is being built or started
    PREPARING = "preparing"  # it runs; its agent or its ports do not answer yet
    CONNECTING = "connecting"  # a client was launched; the gateway has not reported it yet
    READY = "ready"  # the desktop can be used now
    FAILED = "failed"  # waiting longer does not help


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a connection is: `fraction` of the way from 0 to 1, what it waits for, and whether a start is wanted."""

    stage: ConnectStage
    fraction: float
    reason: Reason | None = None
    needs_start: bool = False


def choose(
    candidates: Iterable[Desktop], preferred_id: str | None, order: Order, user_id: str, spread: int
) -> list[Desktop]:
    """Return the desktops in the order in which to try to take them: the one that was shown first, then by rank."""
    ranked = rank(candidates, order, user_id, spread)
    return sorted(ranked, key=lambda desktop: desktop.id != preferred_id)


def protocol_for(
    plan: ProtocolPlan, desktop: Desktop, client: Client, wanted: str | None, gateway_can: Collection[str]
) -> str | NoDesktop:
    """Return the first protocol of the plan that desktop, client and gateway share, or why there is none.

    With `wanted`, only that one is tried: a person who chose is told why not, rather than given something else.
    """
    if wanted is not None and wanted not in plan.protocols:
        return NoDesktop(Reason("protocol.not_in_plan", {"protocol": wanted, "plan": plan.name}))
    passed_over: list[Reason] = []
    for protocol in plan.protocols if wanted is None else (wanted,):
        obstacle = _protocol_obstacle(protocol, plan, desktop, client, gateway_can)
        if obstacle is None:
            return protocol
        passed_over.append(obstacle)
    return NoDesktop(Reason("protocol.none", {"desktop": desktop.display_name or desktop.name}, tuple(passed_over)))


def progress(desktop: Desktop, assignment: Assignment, now: datetime) -> Progress:
    """Return how far the assigned desktop is from being used. Never `connecting`: only the client's launch knows that."""
    if assignment.state not in USABLE:
        return Progress(ConnectStage.FAILED, 0.0, Reason("assignment.ended"))
    state = readiness(desktop, now)
    if state.reason is None:
        return Progress(ConnectStage.READY, 1.0)
    if state.stuck:
        return Progress(ConnectStage.FAILED, 0.0, state.reason)
    stage, fraction = _where(desktop)
    return Progress(stage, fraction, state.reason, state.needs_start)


def expected_seconds(took: Sequence[float]) -> int | None:
    """Return the seconds within which nine of ten earlier ones were done, rounded up; None where there were none."""
    if not took:
        return None
    ordered = sorted(took)
    return math.ceil(ordered[min(len(ordered) - 1, math.ceil(0.9 * len(ordered)) - 1)])


def authority(host: str, port: int) -> str:
    """Return host and port as URIs write them (RFC 3986, section 3.2): IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _where(desktop: Desktop) -> tuple[ConnectStage, float]:
    """Return the stage of a desktop that is on its way, and the fraction of the way behind it."""
    if desktop.stage in IN_FLIGHT:
        return (ConnectStage.PREPARING, 0.6) if desktop.stage is Stage.PREPARING else (ConnectStage.STARTING, 0.25)
    if desktop.power in (Power.RUNNING, Power.UNKNOWN):
        return ConnectStage.PREPARING, 0.8 if desktop.agent is AgentState.RUNNING else 0.7
    return ConnectStage.STARTING, 0.4 if desktop.power is Power.STARTING else 0.3


def _protocol_obstacle(
    protocol: str, plan: ProtocolPlan, desktop: Desktop, client: Client, gateway_can: Collection[str]
) -> Reason | None:
    if protocol not in desktop.protocols:
        return Reason("protocol.not_on_desktop", {"protocol": protocol})
    if client.kind not in NATIVE:
        return None if protocol in gateway_can else Reason("protocol.not_in_browser", {"protocol": protocol})
    speaks = NATIVE[client.kind]
    if speaks is not None and protocol not in speaks:
        return Reason("protocol.not_for_client", {"protocol": protocol, "client": client.kind})
    if plan.view_only:  # Only the gateway can hold back a keyboard.
        return Reason("protocol.not_view_only", {"protocol": protocol})
    if not all(getattr(plan, name) for name in BLIND):  # what a gateway only passes on it cannot hold back
        return Reason("protocol.not_held", {"protocol": protocol})
    if plan.records:
        return Reason("protocol.not_recorded", {"protocol": protocol})
    return None
