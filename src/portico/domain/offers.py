"""What a person is offered, and why not more. Offering gives nothing away; that happens at connect, with one winner."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from portico.domain.claims import ordinal_of
from portico.domain.model import (
    AgentState,
    Assignment,
    AssignmentMode,
    AssignmentState,
    Desktop,
    Offer,
    Order,
    Policy,
    PoolAssignment,
    Power,
    Reason,
    SessionState,
    Status,
    User,
)
from portico.domain.readiness import Readiness, readiness
from portico.domain.states import IN_FLIGHT, USABLE

Existing = tuple[Assignment, Desktop, PoolAssignment | None]
Params = Mapping[str, str | int]

HARD = frozenset({AssignmentMode.HARD_USER, AssignmentMode.HARD_CLIENT})
AT_WORK = frozenset({AssignmentState.CONNECTED, AssignmentState.DISCONNECTED})
NO_WAY_IN = frozenset({"desktop.no_address", "desktop.no_protocol"})


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """One line of the policy with what its pool has: some candidates (not all of a large pool), its total, its builds."""

    assignment: PoolAssignment
    pool_name: str
    candidates: tuple[Desktop, ...]
    total: int
    refilling: bool


@dataclass(frozen=True, slots=True)
class OfferList:
    """What a person may open, best first, and why there is not more."""

    offers: tuple[Offer, ...]
    refused: tuple[tuple[str, Reason], ...]  # with the id of the policy's line that gives less than it promises

    @property
    def refusals(self) -> tuple[Reason, ...]:
        """Return why there is not more, in the policy's order."""
        return tuple(reason for _, reason in self.refused)

    def refusal_of(self, pool_assignment_id: str) -> Reason | None:
        """Return why one line of the policy gives less than it promises; None when it does not."""
        return next((reason for line_id, reason in self.refused if line_id == pool_assignment_id), None)


def offers(
    policy: Policy, pools: Sequence[PoolFacts], existing: Sequence[Existing], user: User, now: datetime
) -> OfferList:
    """Return what the user may open: what is theirs already, hard assignments, then each pool in the policy's order.

    No desktop is offered twice; `max_desktops` cuts only what is new.
    """
    held = sorted((line for line in existing if line[0].state in USABLE), key=_held_order)
    names = {facts.assignment.id: facts.pool_name for facts in pools}
    found = [_held_offer(line, names, now) for line in held]
    refused: list[tuple[str, Reason]] = []
    seen = {desktop.id for _, desktop, _ in existing}
    for facts in sorted(pools, key=lambda facts: facts.assignment.position):
        ordinals = _free_ordinals(facts.assignment, existing)
        room = len(ordinals) if policy.max_desktops is None else policy.max_desktops - len(found)
        if room < len(ordinals):
            limit = Reason("policy.max_desktops", {"maximum": policy.max_desktops, "pool": facts.pool_name})
            refused.append((facts.assignment.id, limit))
            ordinals = ordinals[: max(0, room)]
        if not ordinals:
            continue
        made, refusal = _from_pool(facts, ordinals, seen, user, now)
        found += made
        seen |= {offer.desktop_id for offer in made if offer.desktop_id}
        refused += [(facts.assignment.id, refusal)] if refusal else []
    return OfferList(tuple(found), tuple(refused))


def shut_out(user: User) -> Reason | None:
    """Return why somebody has no desktops at all, whatever their policy says; None for everybody else."""
    if user.service:
        return Reason("user.service")
    return Reason("user.barred") if user.barred else None


def may_offer(desktop: Desktop, pool_assignment: PoolAssignment, now: datetime) -> Reason | None:
    """Return why the desktop may not be offered to somebody new by this line of the policy, or None when it may."""
    if desktop.status is not Status.AVAILABLE:
        return Reason("desktop.unavailable")
    if desktop.free_seats <= 0:
        return Reason("desktop.taken")
    state = readiness(desktop, now)
    if state.stuck or desktop.stage in IN_FLIGHT or desktop.power is Power.STOPPING:
        return state.reason
    if state.reason is not None and state.reason.code in NO_WAY_IN:
        return state.reason  # It runs, and yet nobody would get in.
    if desktop.max_sessions == 1 and desktop.session is not SessionState.NONE:
        # Somebody is, or may be, at work there although nobody has the seat: never give it to another one.
        return Reason("desktop.session_unknown" if desktop.session is SessionState.UNKNOWN else "desktop.in_use")
    if state.needs_start and not pool_assignment.start_if_stopped:
        return state.reason
    return _agent_allows(desktop, pool_assignment, state)


def rank(candidates: Iterable[Desktop], order: Order, user_id: str, spread: int) -> list[Desktop]:
    """Return the candidates, best first. `spread` is a number that the caller drew: equals are mixed by it.

    Mixing keeps a crowd that asks at once from walking the same desktops in the same order.
    """
    mixed = sorted(candidates, key=lambda desktop: crc32(f"{spread}:{desktop.id}".encode()))
    match order:
        case Order.RANDOM:
            return mixed
        case Order.PREVIOUS:
            return sorted(mixed, key=lambda desktop: (_familiarity(desktop, user_id), not _runs(desktop)))
        case Order.OLDEST:
            return sorted(mixed, key=lambda desktop: _age(desktop.created_at))
        case Order.LEAST_RECENT:
            return sorted(mixed, key=lambda desktop: _age(desktop.last_offered_at))
        case Order.RUNNING:
            return sorted(mixed, key=lambda desktop: not _runs(desktop))


def _agent_allows(desktop: Desktop, pool_assignment: PoolAssignment, state: Readiness) -> Reason | None:
    if pool_assignment.offer_without_agent or desktop.agent in (AgentState.RUNNING, AgentState.PENDING_REBOOT):
        return None
    if desktop.agent is AgentState.NOT_INSTALLED:
        return Reason("desktop.no_agent")
    if state.needs_start or desktop.power is Power.STARTING:
        return None  # An installed agent cannot answer before its desktop runs.
    return Reason("desktop.agent_unreachable" if desktop.agent is AgentState.UNREACHABLE else "desktop.agent_waiting")


def _held_order(line: Existing) -> tuple[bool, int, float, str]:
    assignment, _, pool_assignment = line
    position = pool_assignment.position if pool_assignment else 0
    return (assignment.mode in HARD, position, _age(assignment.assigned_at), assignment.id)


def _held_offer(line: Existing, names: dict[str, str], now: datetime) -> Offer:
    assignment, desktop, pool_assignment = line
    ready = readiness(desktop, now)
    state, action = _held_state(assignment, pool_assignment, ready)
    ordinal = ordinal_of(assignment.claim_key) or 0
    pool_name = names.get(assignment.pool_assignment_id or "", "")
    return Offer(
        id=f"a.{assignment.id}",
        name=_name(pool_assignment, pool_name, desktop, ordinal),
        kind=desktop.os_family,
        state=state,
        action=action,
        pool_id=assignment.pool_id,
        pool_assignment_id=assignment.pool_assignment_id,
        ordinal=ordinal,
        desktop_id=desktop.id,
        assignment_id=assignment.id,
        protocols=tuple(desktop.protocols),
        may_release=assignment.mode not in HARD and not (pool_assignment and pool_assignment.prevent_release),
        may_power=bool(pool_assignment and pool_assignment.power_buttons),
        reason=ready.reason,
    )


def _held_state(assignment: Assignment, pool_assignment: PoolAssignment | None, ready: Readiness) -> tuple[str, str]:
    """Return the state and the action of what the user already has."""
    if ready.stuck:
        return "unavailable", "none"
    if ready.needs_start:
        may_start = pool_assignment is None or pool_assignment.start_if_stopped
        return "stopped", "start" if may_start else "none"
    action = "reconnect" if assignment.state in AT_WORK else "open"
    if ready.reason is not None:
        return "preparing", action
    if assignment.state is AssignmentState.CONNECTED:
        return "in use", action
    return ("disconnected" if assignment.state is AssignmentState.DISCONNECTED else "ready"), action


def _free_ordinals(pool_assignment: PoolAssignment, existing: Sequence[Existing]) -> list[int]:
    """Return the ordinals still to be offered: `quantity` less what the user holds, none whose claim is alive.

    A desktop on its way back no longer counts as held, yet its claim lives on: its successor gets another ordinal.
    """
    mine = [assignment for assignment, _, _ in existing if assignment.pool_assignment_id == pool_assignment.id]
    wanted = pool_assignment.quantity - sum(assignment.state in USABLE for assignment in mine)
    claimed = {ordinal_of(assignment.claim_key) for assignment in mine}
    free = [number for number in range(max(0, wanted) + len(mine)) if number not in claimed]
    return free[: max(0, wanted)]


def _from_pool(
    facts: PoolFacts, ordinals: list[int], seen: set[str], user: User, now: datetime
) -> tuple[list[Offer], Reason | None]:
    """Return the new offers of one line of the policy, and why they are fewer than it promises."""
    line = facts.assignment
    left_out: Counter[str] = Counter()
    usable: list[Desktop] = []
    for desktop in {desktop.id: desktop for desktop in facts.candidates if desktop.id not in seen}.values():
        refusal = may_offer(desktop, line, now)
        if refusal is None:
            usable.append(desktop)
        else:
            left_out[refusal.code] += 1
    # The same user sees the same desktop at each look, different users see different ones.
    best = rank(usable, line.order, user.id, spread=crc32(user.id.encode()))
    made = [_new_offer(facts, n, desktop, now) for n, desktop in zip(ordinals, best, strict=False)]
    if len(made) == len(ordinals):
        return made, None
    because = tuple(Reason(code, {"count": number}) for code, number in sorted(left_out.items()))
    if not made and facts.refilling:
        return [_waiting_offer(facts, ordinals[0], because)], None
    return made, _shortage(facts, len(made), len(ordinals), because)


def _shortage(facts: PoolFacts, made: int, wanted: int, because: tuple[Reason, ...]) -> Reason:
    params: Params = {"pool": facts.pool_name, "total": facts.total}
    if made:
        return Reason("pool.short", {**params, "offered": made, "wanted": wanted}, because)
    if facts.total == 0:
        return Reason("pool.empty", params, because)
    if all(reason.code == "desktop.taken" for reason in because):
        return Reason("pool.full", params, because)
    return Reason("pool.none_usable", params, because)


def _new_offer(facts: PoolFacts, ordinal: int, desktop: Desktop, now: datetime) -> Offer:
    line, ready = facts.assignment, readiness(desktop, now)
    state = "stopped" if ready.needs_start else "preparing" if ready.reason else "ready"
    return Offer(
        id=f"{line.id}.{ordinal}",
        name=_name(line, facts.pool_name, desktop, ordinal),
        kind=desktop.os_family,
        state=state,
        action="start" if ready.needs_start else "open",
        pool_id=line.pool_id,
        pool_assignment_id=line.id,
        ordinal=ordinal,
        desktop_id=desktop.id,
        protocols=tuple(desktop.protocols),
        reason=ready.reason,
    )


def _waiting_offer(facts: PoolFacts, ordinal: int, because: tuple[Reason, ...]) -> Offer:
    line = facts.assignment
    return Offer(
        id=f"{line.id}.{ordinal}",
        name=_name(line, facts.pool_name, None, ordinal),
        kind="",
        state="preparing",
        action="wait",
        pool_id=line.pool_id,
        pool_assignment_id=line.id,
        ordinal=ordinal,
        reason=Reason("pool.refilling", {"pool": facts.pool_name, "total": facts.total}, because),
    )


def _name(line: PoolAssignment | None, pool_name: str, desktop: Desktop | None, ordinal: int) -> str:
    if desktop and line and line.display == "desktop":
        return desktop.name
    if desktop and (line is None or not pool_name or line.display == "display name"):
        return desktop.display_name or desktop.name
    return f"{pool_name} {ordinal + 1}" if line and line.quantity > 1 else pool_name


def _familiarity(desktop: Desktop, user_id: str) -> int:
    return 0 if desktop.last_user_id == user_id else 1 if desktop.last_user_id is None else 2


def _runs(desktop: Desktop) -> bool:
    return desktop.power in (Power.RUNNING, Power.UNKNOWN)


def _age(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
