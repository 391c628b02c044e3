"""Which desktop a waiting agent belongs to, and whether it is admitted by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.model import Desktop, Stage, Status
from portico.domain.waiting import Admit, Candidate, Claim, JoinKey, Wait, decide

pytestmark = pytest.mark.capability("S077")

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LOST = NOW - timedelta(minutes=3)
DESK = Desktop("d", "t", "c", "desk-1", external_id="u", address="10.0.0.5", public_address="198.51.100.5")
CLAIM = Claim("u", ("10.0.0.5",), "10.0.0.5")
NATTED = replace(CLAIM, source="203.0.113.1")
KEY = JoinKey("k", "t", None)


def why(found: Admit | Wait) -> str:
    """Return the evidence, or the code of the reason to wait."""
    return found.evidence if isinstance(found, Admit) else found.reason.code


@pytest.mark.parametrize("source", ["10.0.0.5", "198.51.100.5", "::ffff:10.0.0.5"])
def test_the_centers_address_of_the_machine_is_evidence(source: str) -> None:
    """A request from the fixed or floating address that the center lists is the machine's own."""
    assert decide(replace(CLAIM, source=source), [Candidate(DESK, None)], None, LOST) == Admit("d", "t", "address")


def test_what_an_agent_says_alone_admits_nobody() -> None:
    """An address in the message is a claim, the one of the request is evidence."""
    assert why(decide(NATTED, [Candidate(DESK, None)], None, LOST)) == "waiting.address"


def test_a_join_key_admits_only_where_no_agent_ever_was() -> None:
    """Not in place of a silent agent, not where a token is expected, not to another tenant or center, not to another address."""
    good = Candidate(DESK, None)
    assert why(decide(NATTED, [good], KEY, LOST)) == "join key"
    assert why(decide(NATTED, [good], replace(KEY, center_id="c"), LOST)) == "join key"
    for key in (replace(KEY, tenant_id="x"), replace(KEY, center_id="x"), None):
        assert why(decide(NATTED, [good], key, LOST)) == "waiting.address"
    for candidate in (replace(good, agent_seen_at=LOST - timedelta(hours=1)), replace(good, expects_token=True)):
        assert why(decide(NATTED, [candidate], KEY, LOST)) == "waiting.address"
    assert why(decide(replace(NATTED, addresses=("10.9.9.9",)), [good], KEY, LOST)) == "waiting.address"


def test_a_machine_that_was_made_anew_waits_until_its_agent_is_lost() -> None:
    """Rebuilt outside: the old agent's credential ends only when it is silent, or an administrator says so."""
    assert why(decide(CLAIM, [Candidate(DESK, NOW)], KEY, LOST)) == "waiting.has_agent"
    assert why(decide(CLAIM, [Candidate(DESK, LOST - timedelta(seconds=1))], None, LOST)) == "address"


def test_machines_that_nobody_lists_or_several_do_wait() -> None:
    """Neither guessing nor choosing; a duplicate in a second center does not count."""
    other = replace(DESK, id="e", center_id="c2")
    assert why(decide(CLAIM, [], KEY, LOST)) == "waiting.no_machine"
    assert why(decide(replace(CLAIM, instance_id=""), [], KEY, LOST)) == "waiting.no_uuid"
    assert why(decide(CLAIM, [Candidate(DESK, None), Candidate(other, None)], KEY, LOST)) == "waiting.several"
    twin = replace(other, status=Status.DUPLICATE)
    assert why(decide(CLAIM, [Candidate(DESK, None), Candidate(twin, None)], None, LOST)) == "address"
    assert why(decide(CLAIM, [Candidate(replace(DESK, stage=Stage.DELETING), None)], KEY, LOST)) == "waiting.no_machine"


@given(st.text(max_size=50), st.lists(st.text(max_size=50), max_size=3))
def test_no_address_whatever_it_is_breaks_the_decision(source: str, addresses: list[str]) -> None:
    """What is no address equals none, an empty one included."""
    bare = replace(DESK, address=None, public_address=None)
    assert isinstance(decide(Claim("u", tuple(addresses), source), [Candidate(bare, None)], KEY, LOST), Wait)
