"""The contract of places that vouch for people: what every driver does with questions, and with answers that are none."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from doubles.small_oidc import small_oidc
from portico.directories import saml_keys
from portico.directories.oidc import Oidc
from portico.directories.saml import Saml
from portico.errors import DirectoryRefused
from portico.ports.directory import DirectoryContext
from portico.wiring import drivers

pytestmark = pytest.mark.capability("S046", "S048")
BACK, HERE = "https://portal.test/back", "https://portal.test/ended"
RUBBISH: tuple[dict[str, str], ...] = (
    {}, {"state": "x"}, {"code": "x"}, {"SAMLResponse": ""}, {"SAMLResponse": "PHgvPg=="}, {"SAMLResponse": "\0" * 100}, {"logout_token": "a.b.c"},
    {"query": "SAMLRequest=x&Signature=x"}, {"SAMLRequest": "\ud800"}, {"logout_token": "\ud800", "SAMLResponse": "é" * 1000},
)  # fmt: skip


@pytest.fixture(scope="module", params=["oidc", "saml"])
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Each driver of the kind, on a provider that is there."""
    context = DirectoryContext(("127.0.0.0/8",), "https://portal.test/metadata")
    if request.param == "saml":
        pair = saml_keys.make_pair()
        settings = {
            "entity_id": "https://idp.test", "sso_url": "https://idp.test/sso", "slo_url": "https://idp.test/slo",
            "certificates": saml_keys.read_pair(pair).certificate_pem, "key_pair": pair,
        }  # fmt: skip
        made = Saml(Saml.Settings(**settings), context)
        yield made
        made.close()
        return
    with small_oidc(tmp_path_factory.mktemp("oidc")) as there:
        settings = {"issuer": there.issuer, "client_id": "portico", "ca_certificates": there.pem}
        other = Oidc(Oidc.Settings(**settings), context)
        yield other
        other.close()


def test_every_driver_that_sends_people_away_is_held_to_this() -> None:
    known = {kind for kind, made in drivers("portico.directories").items() if getattr(made, "by_redirect", False)}
    assert known == {"oidc", "saml"}


def test_people_are_sent_away_under_tls_each_with_a_question_of_their_own(driver: Any) -> None:
    """What is kept until they are back is texts alone, and nobody can guess it."""
    one, other = driver.begin(BACK), driver.begin(BACK)
    assert one.url.startswith("https://")
    assert one.url != other.url
    assert json.loads(json.dumps(dict(one.kept))) == one.kept
    assert all(isinstance(value, str) and len(value) >= 20 for value in one.kept.values())
    assert not set(one.kept.values()) & set(other.kept.values())


@pytest.mark.parametrize("answer", RUBBISH, ids=range(len(RUBBISH)))
def test_what_is_no_answer_is_refused(driver: Any, answer: dict[str, str]) -> None:
    """Whatever the browser brings: a refusal with a sentence, never a trouble of the parser's."""
    kept = driver.begin(BACK).kept
    with pytest.raises(DirectoryRefused) as found:
        driver.finish(BACK, kept, answer)
    assert found.value.sentence.endswith(".")
    with pytest.raises(DirectoryRefused):
        driver.finish(BACK, {}, answer)


@pytest.mark.parametrize("told", RUBBISH, ids=range(len(RUBBISH)))
def test_what_is_no_notice_ends_nothing(driver: Any, told: dict[str, str]) -> None:
    with pytest.raises(DirectoryRefused):
        driver.ended(HERE, told)


def test_who_leaves_is_sent_away_under_tls_or_nowhere(driver: Any) -> None:
    for kept in ({}, {"name": "sam", "session": "1"}):
        url = driver.leave(BACK, kept)
        assert url == "" or url.startswith("https://")
