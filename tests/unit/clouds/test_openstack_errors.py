"""What a cloud's answers mean: the class, the sentence, the request's id."""

from typing import Any

import pytest

from portico.clouds.openstack_errors import Answer, error_of, retry_after, sentence_of
from portico.clouds.openstack_rights import ALLOCATE, ASSOCIATE, CREATE, START, Memory
from portico.clouds.openstack_versions import Service
from portico.errors import CloudError, CloudLoginRefused, CloudNotFound, CloudRefused, QuotaExceeded

NOVA_QUOTA = {
    "forbidden": {
        "code": 403,
        "message": "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances",
    }
}
POLICY = {"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:servers:start to be performed."}}


def answer(
    status: int,
    body: Any = None,
    text: str = "",
    service: str = "compute",
    method: str = "GET",
    path: str = "/x",
    **more: Any,
) -> Answer:
    return Answer(service, method, path, status, body or {}, text, "req-1", **more)


@pytest.mark.capability("S005", "S063", "S090")
@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (answer(403, NOVA_QUOTA), QuotaExceeded, "already used 1 of 1"),
        (answer(413, {"overLimit": {"message": "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded", "code": 413}}), QuotaExceeded, "Maximum number"),
        (answer(409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for resources: ['floatingip'].", "detail": ""}}, service="network"), QuotaExceeded, "floatingip"),
        (answer(409, {"NeutronError": {"type": "IpAddressGenerationFailure", "message": "No more IP addresses available on network x.", "detail": ""}}, service="network"), CloudRefused, "No more IP"),
        (answer(403, POLICY), CloudRefused, "servers:start"),
        (answer(401, {"error": {"code": 401, "message": "The request you have made requires authentication.", "title": "Unauthorized"}}, service="identity"), CloudLoginRefused, "requires authentication"),
        (answer(404, {"itemNotFound": {"code": 404, "message": "Instance x could not be found."}}), CloudNotFound, "could not be found"),
        (answer(409, {"conflictingRequest": {"code": 409, "message": "Cannot 'stop' instance x while it is in vm_state stopped"}}), CloudRefused, "vm_state"),
        (answer(400, {"badRequest": {"code": 400, "message": "Can not find requested image"}}), CloudRefused, "image"),
        (answer(501, {"notImplemented": {"code": 501, "message": "Unable to get console"}}), CloudRefused, "console"),
        (answer(429, {"overLimit": {"code": 429, "message": "This request was rate-limited."}}, retry_after=7.0), CloudError, "too many"),
        (answer(503, text="<html><head><title>503</title></head><body><h1>503 Service Unavailable</h1>No server is available.</body></html>"), CloudError, "No server is available"),
        (answer(500, {"computeFault": {"code": 500, "message": "Unexpected API Error."}}), CloudError, "Unexpected"),
        (answer(302), CloudError, "redirect"),
        (answer(400, {"error_message": '{"faultcode": "Client", "faultstring": "Node is locked"}'}, service="baremetal"), CloudRefused, "Node is locked"),
        (answer(404, {"errors": [{"title": "Not Found", "detail": "No resource provider"}]}, service="placement"), CloudNotFound, "No resource provider"),
    ],
)  # fmt: skip
def test_an_answer_becomes_an_error_in_the_clouds_words(given: Answer, kind: type[CloudError], words: str) -> None:
    """One place for all services; the request's id is in the detail, for whoever runs the cloud."""
    problem = error_of(given)
    assert type(problem) is kind
    assert words in problem.sentence
    assert "req-1" in problem.detail
    assert problem.params["status"] == given.status


@pytest.mark.capability("S090")
def test_the_wait_that_a_cloud_asks_for_is_read() -> None:
    """Seconds or a date; nonsense is as good as nothing."""
    assert retry_after("7", 0) == 7
    assert retry_after("Thu, 26 Nov 2026 07:00:10 GMT", 1795676400.0) == 10
    assert retry_after("soon", 0) is None
    assert retry_after(None, 0) is None
    assert error_of(answer(429, retry_after=7.0)).retry_after == 7
    assert len(sentence_of(answer(500, text="x" * 5000))) <= 400


@pytest.mark.capability("S060", "S061", "S063")
def test_a_refusal_in_use_is_remembered_and_a_success_too(tmp_path: Any) -> None:
    """Beyond the process, for the same user alone; a quota is no missing right."""
    file = tmp_path / "center" / "rights.json"
    memory = Memory(file, "broker")
    assert memory.state(START) == "unknown"
    memory.learn(answer(403, POLICY, method="POST", path="/servers/1/action"), {"os-start": None})
    memory.learn(answer(202, method="POST", path="/servers"), {"server": {}})
    memory.learn(answer(403, NOVA_QUOTA, method="POST", path="/servers"), {"server": {}})
    memory.learn(answer(404, service="network", method="POST", path="/floatingips"), {})
    memory.learn(answer(200, service="network", method="PUT", path="/floatingips/1"), {})
    for known in (memory, Memory(file, "broker")):
        states = [known.state(right) for right in (START, CREATE, ALLOCATE, ASSOCIATE)]
        assert states == ["missing", "granted", "unknown", "granted"]
    assert Memory(file, "somebody else").state(START) == "unknown"
    file.write_text("[]")
    assert Memory(file, "broker").state(START) == "unknown"


@pytest.mark.capability("S086")
def test_microversions_are_negotiated_per_service() -> None:
    """The newest that both know by default; another by name; one that the cloud lacks is refused before it is sent."""
    nova = Service("compute", "http://c/v2.1", "2.1", "2.79")
    assert nova.headers(None) == {"OpenStack-API-Version": "compute 2.79"}
    assert nova.headers("2.60") == {"OpenStack-API-Version": "compute 2.60"}
    assert nova.knows("2.8")
    with pytest.raises(CloudRefused, match=r"2\.79"):
        nova.headers("2.93")
    assert Service("network", "http://n/v2.0").headers(None) == {}
    assert Service("baremetal", "http://b/v1", "1.1", "1.95").headers(None) == {
        "X-OpenStack-Ironic-API-Version": "1.95"
    }
