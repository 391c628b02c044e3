"""Records with calm defaults, and strategies for wild ones."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from portico.domain import model as m

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

USER = m.User("ada", "t", "ada", "", "Ada")


def desktop(id: str = "d1", **more: Any) -> m.Desktop:
    """A desktop that is ready, free and reachable."""
    calm = {
        "tenant_id": "t",
        "center_id": "c1",
        "name": id,
        "power": m.Power.RUNNING,
        "agent": m.AgentState.RUNNING,
        "address": "10.0.0.1",
        "protocols": {"vnc": 5901, "ssh": 22},
        "external_id": f"x-{id}",
    }
    return m.Desktop(id, **{**calm, **more})


def assignment(id: str = "a1", **more: Any) -> m.Assignment:
    """Ada's assignment of the desktop d1."""
    calm = {
        "tenant_id": "t",
        "user_id": "ada",
        "desktop_id": "d1",
        "seat_id": "s1",
        "assigned_at": NOW,
        "pool_id": "p",
        "pool_assignment_id": "line",
        "claim_key": "ada:line:0",
    }
    return m.Assignment(id, **{**calm, **more})


def line(id: str = "line", **more: Any) -> m.PoolAssignment:
    """A line of a policy that offers one desktop of the pool p."""
    return m.PoolAssignment(id, **{"tenant_id": "t", "policy_id": "policy", "pool_id": "p", **more})


def pool(id: str = "p", **more: Any) -> m.Pool:
    """A pool that takes every desktop."""
    return m.Pool(id, **{"tenant_id": "t", "name": id, **more})


def release_plan(**more: Any) -> m.ReleasePlan:
    """A release plan that does nothing but what is asked for."""
    calm = {"release_after_log_out_minutes": None, "release_if_never_connected_minutes": None}
    return m.ReleasePlan("r", "t", "release", **{**calm, **more})


def power_plan(**more: Any) -> m.PowerPlan:
    """A power plan that does nothing but what is asked for."""
    return m.PowerPlan("w", "t", "power", **more)


def desktops(ids: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[m.Desktop]:
    """Desktops in every imaginable state."""
    return st.builds(
        desktop,
        id=ids or st.sampled_from("abcdefgh"),
        status=st.sampled_from(m.Status),
        power=st.sampled_from(m.Power),
        agent=st.sampled_from(m.AgentState),
        session=st.sampled_from(m.SessionState),
        stage=st.sampled_from(m.Stage),
        maintenance=st.booleans(),
        deletable=st.booleans(),
        address=st.sampled_from([None, "10.0.0.1", "10.9.0.1", "not an address"]),
        protocols=st.sampled_from([{}, {"vnc": 5901}]),
        free_seats=st.integers(0, 2),
        used_seats=st.integers(0, 2),
        max_sessions=st.integers(1, 3),
        external_id=st.sampled_from([None, "x1", "x2", "x3"]),
        last_user_id=st.sampled_from([None, "ada", "grace"]),
        created_at=st.sampled_from([None, NOW - MINUTE, NOW]),
        deadline_at=st.sampled_from([None, NOW - MINUTE, NOW + MINUTE]),
    )
