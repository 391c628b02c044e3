"""Where a client is: the first location, in order, whose conditions it meets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.locations import ATTRIBUTES, Location, check, holds, locate, system_of
from portico.domain.model import Client, Rule
from portico.domain.rules import OPERATORS

pytestmark = pytest.mark.capability("S047", "S051")

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36"
IN_OFFICE = Rule("address", "ip", "10.0.0.0/8")


def at(name: str, *conditions: Rule, position: int = 100, join: str = "and") -> Location:
    return Location(name, "t", name, position, join, conditions)


def found(client: Client, *locations: Location) -> str:
    location = locate(client, locations)
    return location.name if location else ""


def test_the_first_that_fits_counts() -> None:
    """By position, then by name; one without conditions takes everybody; and nowhere is an answer too."""
    office, phones, rest = (
        at("office", IN_OFFICE, position=2),
        at("phones", Rule("os", "eq", "android"), position=1),
        at("all"),
    )
    assert found(Client("10.1.1.1", user_agent=PHONE), rest, office, phones) == "phones"
    assert found(Client("10.1.1.1", user_agent=FIREFOX), rest, office, phones) == "office"
    assert found(Client("192.0.2.1", user_agent=FIREFOX), rest, office, phones) == "all"
    assert found(Client("192.0.2.1"), office, phones) == ""
    assert found(Client("10.1.1.1"), at("b", IN_OFFICE), at("a", IN_OFFICE)) == "a"


def test_all_conditions_or_any() -> None:
    """As in pools."""
    both = (IN_OFFICE, Rule("os", "eq", "linux"))
    inside, outside = Client("10.1.1.1", user_agent=PHONE), Client("192.0.2.1", user_agent=FIREFOX)
    assert [holds(one, at("x", *both)) for one in (inside, outside)] == [False, False]
    assert [holds(one, at("x", *both, join="or")) for one in (inside, outside)] == [True, True]
    assert holds(Client("10.1.1.1", user_agent=FIREFOX), at("x", *both))


@pytest.mark.parametrize(
    ("agent", "system"),
    [
        (FIREFOX, "linux"), (PHONE, "android"), ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "macos"), ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "ios"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)", "chromeos"), ("curl/8", ""),
    ],
)  # fmt: skip
def test_a_browser_lets_its_system_be_guessed(agent: str, system: str) -> None:
    """Unless the client says what it is."""
    assert system_of(Client("", user_agent=agent)) == system
    assert system_of(Client("", user_agent=agent, os="haiku")) == "haiku"


def test_what_is_wrong_is_named() -> None:
    """Each field by its path."""
    wrong = at(
        "x", Rule("planet", "eq", "mars"), Rule("os", "ip", "10.0.0.0/8"), Rule("address", "ip", "near"), join="xor"
    )
    assert set(check(wrong)) == {"join", "conditions.0.attribute", "conditions.1.operator", "conditions.2.text"}
    assert check(at("x", IN_OFFICE)) == {}


@given(
    st.builds(
        Client, st.sampled_from(["", "10.0.0.1", "nonsense", "2001:db8::1"]), st.text(), st.text(), st.text(), st.text()
    ),
    st.lists(
        st.builds(Rule, st.sampled_from([*ATTRIBUTES, "?"]), st.sampled_from([*OPERATORS, "?"]), st.text()), max_size=3
    ),
)
def test_any_client_is_somewhere_or_nowhere(client: Client, conditions: list[Rule]) -> None:
    """A broken condition holds for nobody, and nothing else ends in trouble."""
    place = at("x", *conditions)
    assert locate(client, [place]) in (place, None)
    if conditions and check(place) and place.join == "and":
        assert not holds(client, place)


@pytest.mark.parametrize(
    ("version", "operator", "text", "holds"),
    [
        ("10.15", "gt", "10.9", True),
        ("10.9", "lt", "10.15", True),
        ("11", "gt", "10.15.7", True),
        ("11.0.0", "gt", "11", False),
        ("11.0", "lt", "11", False),
        ("", "gt", "1", False),
        ("", "lt", "1", False),
        ("ventura", "gt", "10", False),
    ],
)
def test_versions_are_compared_part_by_part(version: str, operator: str, text: str, holds: bool) -> None:
    assert bool(found(Client("192.0.2.1", os_version=version), at("it", Rule("os_version", operator, text)))) is holds


def test_what_is_no_version_is_refused() -> None:
    assert check(at("it", Rule("os_version", "gt", "ten"))) == {"conditions.0.text": "Write a version such as 10.15.7."}
