import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.claims import claim_key, ordinal_of

pytestmark = pytest.mark.capability("S029")


@given(st.uuids(), st.uuids(), st.integers(0, 1000))
def test_a_claim_key_gives_its_ordinal_back(user: object, line: object, ordinal: int) -> None:
    assert ordinal_of(claim_key(str(user), str(line), ordinal)) == ordinal


@pytest.mark.parametrize("key", [None, "", "hard", "a:b:c", "a:b:-1", "a:b:²"])
def test_what_is_no_claim_key_has_no_ordinal(key: str | None) -> None:
    assert ordinal_of(key) is None
