"""The shape of what agents and gateways send (wire.agent, wire.gateway). Members that we do not know are let through."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from portico.services.shapes import path_of, sentence_of, unstorable
from portico.web.problems import BadRequest

Short = Annotated[str, Field(max_length=200)]
Stored = Annotated[int, Field(ge=0, le=2**62)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Message(BaseModel):
    """Any message: no coercion, and newer members pass."""

    model_config = ConfigDict(extra="allow", strict=True)


class Versioned(Message):
    """A message that says which version of the protocol it speaks."""

    v: Annotated[int, Field(ge=1, le=1)]


class Facts(Message):
    """What an agent knows of its machine."""

    hostname: Short = ""
    os_family: Annotated[str, Field(pattern="^(linux|windows|macos)?$")] = ""
    os_name: Short = ""
    address: Annotated[str, Field(max_length=40)] = ""
    port: Port = 0
    protocols: Annotated[dict[Annotated[str, Field(max_length=40)], Port], Field(max_length=20)] = {}
    ssh_host_keys: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=20)] = []
    login_user: Short = ""
    metadata: Annotated[str, Field(max_length=40)] = ""
    metadata_gateway: Annotated[str, Field(max_length=40)] = ""
    public_address: Annotated[str, Field(max_length=40)] = ""


class AgentEnrolment(Versioned):
    """POST /agent/v1/enroll."""

    token: Annotated[str, Field(min_length=1, max_length=200)]
    agent_version: Annotated[str, Field(max_length=40)] = ""
    facts: Facts = Facts()
    instance_id: Short = ""


class AgentJoin(Versioned):
    """POST /agent/v1/join."""

    secret: Annotated[str, Field(min_length=32, max_length=200)]
    agent_version: Annotated[str, Field(max_length=40)] = ""
    facts: Facts
    instance_id: Short = ""
    addresses: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] = []
    macs: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=32)] = []
    join_key: Short = ""


class AgentReport(Versioned):
    """POST /agent/v1/report."""

    boot_id: Annotated[str, Field(min_length=1, max_length=40)]
    sequence: Stored
    facts: Facts | None = None
    sessions: Annotated[list[dict[str, JsonValue]], Field(max_length=1000)] = []
    events: Annotated[list[dict[str, JsonValue]], Field(max_length=2000)] = []
    results: Annotated[list[dict[str, JsonValue]], Field(max_length=1000)] = []


class GatewayEnrolment(Versioned):
    """POST /gateway/v1/enroll."""

    token: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    version: Annotated[str, Field(max_length=40)] = ""
    public_url: Short = ""


class Redemption(Message):
    """POST /gateway/v1/redeem."""

    ticket: Annotated[str, Field(min_length=1, max_length=4096)]
    client_address: Annotated[str, Field(max_length=64)] = ""


class GatewayReport(Versioned):
    """POST /gateway/v1/report."""

    boot_id: Annotated[str, Field(min_length=1, max_length=40)]
    sequence: Stored
    load: dict[str, JsonValue] = {}
    live: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=100_000)] = []
    events: Annotated[list[dict[str, JsonValue]], Field(max_length=10_000)] = []


def checked(kind: type[Message], body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message when its shape is right. Raises BadRequest naming every malformed member."""
    wrong = unstorable(body)
    try:
        kind.model_validate(dict(body))
    except ValidationError as problem:
        wrong |= {path_of(error["loc"]): sentence_of(error) for error in problem.errors(include_url=False)}
    if wrong:
        raise BadRequest("The message is malformed.", fields=wrong)
    return dict(body)
