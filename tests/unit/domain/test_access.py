import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.access import (
    AREAS,
    NARROWED_AREAS,
    Actor,
    Level,
    Reach,
    is_administrator,
    may,
    may_handle,
    reach_of,
    reaches_beyond,
)
from portico.domain.model import Pool, Role

pytestmark = pytest.mark.capability("S002")


@pytest.mark.parametrize(
    ("granted", "view", "edit"), [({}, False, False), ({"pools": "view"}, True, False), ({"pools": "edit"}, True, True)]
)
def test_a_role_reaches_as_far_as_it_says(granted: dict[str, str], view: bool, edit: bool) -> None:
    actor = Actor("u", "ada", "t", Role("r", "t", "Role", areas=granted))
    assert may(actor, "pools") is view
    assert may(actor, "pools", Level.EDIT) is edit
    assert not may(actor, "users")
    assert is_administrator(actor) is bool(granted)


IDS = ("a", "b", "c", "d")
ANY_ROLE = st.builds(
    Role,
    id=st.just("r"),
    tenant_id=st.just("t"),
    name=st.just("Role"),
    areas=st.dictionaries(st.sampled_from(("pools", "desktops", "users")), st.sampled_from(("view", "edit"))),
    restricted=st.booleans(),
    pools=st.lists(st.sampled_from(IDS)).map(tuple),
    centers=st.lists(st.sampled_from(IDS)).map(tuple),
)
ANY_TREE = st.dictionaries(st.sampled_from(IDS), st.sampled_from((None, *IDS))).map(
    lambda parents: {id: Pool(id, "t", id, parent_id=parent) for id, parent in parents.items()}
)


@given(ANY_ROLE, ANY_TREE)
def test_a_restricted_role_reaches_its_pools_and_all_below_them_and_nothing_else(
    role: Role, tree: dict[str, Pool]
) -> None:
    """Also where the tree has a ring: each pool in reach is named by the role or stands below one that is."""
    reach = reach_of(role, tree)
    if reach is None:
        assert not role.restricted
        return
    assert role.restricted
    assert reach.centers == set(role.centers)
    assert reach.pools >= set(role.pools)
    for id in reach.pools - set(role.pools):
        assert tree[id].parent_id in reach.pools
    for pool in tree.values():
        assert pool.parent_id not in reach.pools or pool.id in reach.pools


@given(ANY_ROLE, ANY_ROLE, ANY_ROLE)
def test_nobody_gives_away_more_than_they_have(own: Role, other: Role, third: Role) -> None:
    """A role does not reach beyond itself; what is within what is within is within; one that is not restricted is beyond."""
    assert not reaches_beyond(own, own)
    if not reaches_beyond(own, other) and not reaches_beyond(other, third) and other.areas:
        assert not reaches_beyond(own, third)
    if own.restricted and other.areas and not other.restricted:
        assert reaches_beyond(own, other)


@given(ANY_ROLE, st.sampled_from(AREAS), st.sampled_from(Level))
def test_a_restricted_role_is_refused_what_no_pool_narrows(role: Role, area: str, level: Level) -> None:
    """And it reaches nothing when nobody said what its pools and centers are."""
    actor = Actor("u", "ada", "t", role)
    if role.restricted:
        assert area in NARROWED_AREAS or not may(actor, area, level)
        assert actor.reach == Reach()
    else:
        assert may(actor, area, level) == may_handle(actor, "users", area, level)
