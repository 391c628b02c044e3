"""Actions on centers, leaks and jobs: scan, check, read the menus, remove, keep, adopt, cancel, retry."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Invalid, NotFound
from portico.services import centers, directories, leaks, queue, radius, recordings, sign_on_door, usage
from portico.services.guards import require
from portico.web.api.actions import FAILURES, JOB, queued
from portico.web.api.described import answers, record, takes
from portico.web.caller import Body, Me, broker_of
from portico.web.recorded import plain

router = APIRouter()


@router.get("/centers/kinds", tags=["Centers"], operation_id="list_center_kinds", summary="Which kinds of centers there are, with their settings",
            responses=answers(200, {"type": "object"}, "The kinds.") | FAILURES)  # fmt: skip
def kinds(request: Request, me: Me) -> Response:
    """Answer the kinds of centers and the fields of their settings."""
    require(me.actor, "centers")
    return JSONResponse({"items": [asdict(kind) for kind in centers.kinds(broker_of(request))]})


@router.get("/directories/kinds", tags=["Directories"], operation_id="list_directory_kinds",
            summary="Which kinds of directories there are, with their settings",
            responses=answers(200, record("items", items="array"), "The kinds.") | FAILURES)  # fmt: skip
def directory_kinds(request: Request, me: Me) -> Response:
    """Answer the kinds of directories and the fields of their settings."""
    require(me.actor, "directories")
    return JSONResponse({"items": [asdict(kind) for kind in directories.kinds(broker_of(request))]})


@router.get("/directories/{id}/provider-setup", tags=["Directories"], operation_id="get_directory_provider_setup",
            summary="What to enter at its provider",
            responses=answers(200, record("entity_id metadata_url answers logouts", entity_id="string", metadata_url="string", answers="array", logouts="array"),
                              "Who we are there, and the addresses that log-ins and notices of log-outs come to.") | FAILURES)  # fmt: skip
def provider_setup(request: Request, id: str, me: Me) -> Response:
    """Answer what a provider's administrator enters there."""
    found = sign_on_door.door(broker_of(request), me.actor, id)
    if found is None:
        raise NotFound("This directory has no provider: people log in to it here.")
    return JSONResponse(asdict(found))


@router.post("/directories/{id}/check", tags=["Directories"], operation_id="check_directory", summary="Try what log-ins need, step by step",
             responses=answers(200, record("findings", findings="array"), "What was looked at, with remedies.") | FAILURES)  # fmt: skip
def check_directory(request: Request, id: str, me: Me) -> Response:
    """Answer the findings of a check."""
    return JSONResponse({"findings": [asdict(one) for one in directories.check(broker_of(request), me.actor, id)]})


@router.post("/radius-servers/{id}/check", tags=["RADIUS servers"], operation_id="check_radius_server",
             summary="Try each of the servers, and tell what their silence may mean",
             responses=answers(200, record("findings", findings="array"), "What each server answered, with remedies.") | FAILURES)  # fmt: skip
def check_radius_server(request: Request, id: str, me: Me) -> Response:
    """Answer the findings of a check."""
    return JSONResponse({"findings": [asdict(one) for one in radius.check(broker_of(request), me.actor, id)]})


@router.post("/centers/{id}/scan", status_code=202, tags=["Centers"], operation_id="scan_center", summary="Look at a center now",
             responses=answers(202, JOB, "The job that does it.") | FAILURES)  # fmt: skip
def scan(request: Request, id: str, me: Me) -> Response:
    """Queue a scan."""
    return queued(centers.scan_now(broker_of(request), me.actor, id))


@router.post("/centers/{id}/check", tags=["Centers"], operation_id="check_center", summary="Try each right and precondition",
             responses=answers(200, record("findings", findings="array"), "What was looked at, with remedies.") | FAILURES)  # fmt: skip
def check(request: Request, id: str, me: Me) -> Response:
    """Answer the findings of a pre-flight."""
    return JSONResponse({"findings": [asdict(finding) for finding in centers.check(broker_of(request), me.actor, id)]})


@router.post("/centers/{id}/mend", status_code=204, tags=["Centers"], operation_id="mend_center", summary="Do what a finding offers to mend",
             responses=FAILURES,
             openapi_extra=takes({"type": "object", "required": ["fix"], "properties": {"fix": {"type": "string"}}},
                                 {"fix": "security_group_rules"}))  # fmt: skip
def mend(request: Request, id: str, me: Me, body: Body) -> Response:
    """Mend what a finding named by its `fix`."""
    fix = body.get("fix")
    if not isinstance(fix, str) or not fix:
        raise Invalid("Say what to mend.", {"fix": "Give the `fix` of a finding."})
    centers.mend(broker_of(request), me.actor, id, fix)
    return Response(status_code=204)


@router.get("/centers/{id}/choices", tags=["Centers"], operation_id="get_center_choices", summary="The provisioning menus, read live",
            responses=answers(200, {"type": "object"}, "The menus.") | FAILURES)  # fmt: skip
def choices(request: Request, id: str, me: Me) -> Response:
    """Answer the menus of the provisioning form."""
    return JSONResponse(asdict(centers.choices(broker_of(request), me.actor, id)))


@router.get("/centers/{id}/usage", tags=["Centers"], operation_id="get_center_usage", summary="What its machines have used, by month",
            responses=answers(200, record("usage", months="array"), "The months, the current one first.") | FAILURES)  # fmt: skip
def usages(request: Request, id: str, me: Me, months: int = 3) -> Response:
    """Answer the usage of the latest months."""
    found = usage.by_month(broker_of(request), me.actor, id, months)
    return JSONResponse(
        {"months": [asdict(one) | {"since": one.since.isoformat(), "until": one.until.isoformat()} for one in found]}
    )


@router.get("/recordings/{id}/content", tags=["Recordings"], operation_id="get_recording_content",
            summary="What was recorded, in clear: an asciicast of a terminal, else frames (each read is an event)",
            responses=FAILURES)  # fmt: skip
def recording_content(request: Request, id: str, me: Me) -> Response:
    """Answer the content of a recording."""
    return plain(recordings.open_plain(broker_of(request), me.actor, id))


@router.post("/leaks/{id}/remove", status_code=202, tags=["Leaks"], operation_id="remove_leak",
             summary="Remove what was left over from the cloud",
             responses=answers(202, JOB, "The job that does it.") | FAILURES)  # fmt: skip
def remove_leak(request: Request, id: str, me: Me) -> Response:
    """Queue the removal of a leak."""
    return queued(leaks.remove(broker_of(request), me.actor, id))


@router.post("/leaks/{id}/keep", status_code=204, tags=["Leaks"], operation_id="keep_leak",
             summary="Leave it where it is, and ask for no attention any more", responses=FAILURES)  # fmt: skip
def keep_leak(request: Request, id: str, me: Me) -> Response:
    """Keep a leak."""
    leaks.keep(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/leaks/{id}/adopt", tags=["Leaks"], operation_id="adopt_leak",
             summary="Make a machine that is nobody's a desktop (again); it is not offered before it is set available",
             responses=answers(200, record("desktop_id", desktop_id="string"), "The desktop.") | FAILURES)  # fmt: skip
def adopt_leak(request: Request, id: str, me: Me) -> Response:
    """Adopt a machine."""
    return JSONResponse({"desktop_id": leaks.adopt(broker_of(request), me.actor, id)})


@router.post("/jobs/{id}/cancel", status_code=204, tags=["Jobs"], operation_id="cancel_job", summary="Cancel a waiting job",
             responses=FAILURES)  # fmt: skip
def cancel(request: Request, id: str, me: Me) -> Response:
    """Cancel a job that has not begun."""
    queue.cancel(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/jobs/{id}/retry", status_code=204, tags=["Jobs"], operation_id="retry_job", summary="Try a failed job again",
             responses=FAILURES)  # fmt: skip
def retry(request: Request, id: str, me: Me) -> Response:
    """Queue a failed job again."""
    queue.retry(broker_of(request), me.actor, id)
    return Response(status_code=204)
