import pytest

from portico.domain.access import Actor, Level, is_administrator, may
from portico.domain.model import Role

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
