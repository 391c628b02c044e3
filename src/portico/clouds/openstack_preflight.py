"""The pre-flight of a center: every right and precondition by name, with what was seen and the remedy.

Calls here change nothing. Where a cloud gives the same answer with and without a right, the right is unknown, not granted.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from portico.clouds import openstack_choices, openstack_login, openstack_network, openstack_quota, openstack_versions
from portico.clouds.openstack_errors import NAMES, sentence_of
from portico.clouds.openstack_inventory import TAG_DEPLOYMENT
from portico.clouds.openstack_rights import (
    ACTIONS,
    ALL,
    ALLOCATE,
    CREATE,
    FLOATING_IPS,
    GRANTED,
    IMAGES,
    LIST,
    MISSING,
    UNKNOWN,
    Right,
)
from portico.clouds.openstack_session import Api
from portico.errors import CloudError, CloudRefused
from portico.ports.cloud import Finding

_THREADS = 4
# What an action is refused for on a machine in this state, if the right is there; so trying it changes nothing.
_IMPOSSIBLE = {
    "ACTIVE": ("os-start", "resume"),
    "SHUTOFF": ("os-stop", "suspend", "resume", "reboot"),
    "SUSPENDED": ("os-stop", "os-start", "suspend", "reboot"),
}
_ARGUMENTS: dict[str, object] = {"reboot": {"type": "SOFT"}}

Section = Callable[[Api], Iterable[Finding]]


def check(api: Api, deployment_id: str) -> tuple[Finding, ...]:
    """Look at everything, and return one finding for each thing. Raises CloudError when nobody can log in."""
    first = _identity(api)
    sections: tuple[tuple[str, Section], ...] = (
        ("rights", lambda api: _rights(api, deployment_id)),
        ("network", openstack_network.findings),
        ("quota", openstack_quota.findings),
        ("flavors", _flavors),
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="preflight") as pool:
        waiting = [(group, pool.submit(_whole, section, api)) for group, section in sections]
        rest = [_told(group, future.result()) for group, future in waiting]
    return (*first, *(finding for section in rest for finding in section))


def _whole(section: Section, api: Api) -> list[Finding] | CloudError:
    try:
        return list(section(api))
    except CloudError as problem:
        return problem


def _told(group: str, found: list[Finding] | CloudError) -> list[Finding]:
    if isinstance(found, CloudError):
        return [Finding(f"{group} of the project", UNKNOWN, found.sentence, group, found.detail)]
    return found


def _identity(api: Api) -> list[Finding]:
    try:
        access = api.access
    except CloudRefused as problem:  # then there is nothing else to tell
        raise openstack_login.explained(api, problem) from problem
    who = f"{access.username or access.user_id} in the project {access.project_name or access.project_id}"
    found = [Finding("Keystone v3", GRANTED, "", "", f"logged in as {who}; roles: {', '.join(access.role_names)}")]
    regions = openstack_versions.regions(access)
    if len(regions) > 1 and not api.settings.region:
        remedy = f"Choose one of the regions in the settings of this center: {', '.join(regions)}."
        found.append(Finding("region", "warning", remedy))
    for service, need in (("compute", True), ("image", True), ("network", True), ("volume", False)):
        found.append(_service(api, service, need))
    return found


def _service(api: Api, service: str, needed: bool) -> Finding:
    name = NAMES[service]
    try:
        known = api.service(service)
    except CloudError as problem:
        remedy = problem.sentence if needed else f"{problem.sentence} Without it no desktop boots from a volume."
        return Finding(name, MISSING if needed else "warning", remedy, "", problem.detail)
    return Finding(name, GRANTED, "", "", f"{known.url}{f', microversion {known.most}' if known.most else ''}")


def _rights(api: Api, deployment_id: str) -> list[Finding]:
    states = {right: (api.memory.state(right), "learnt in use") for right in ALL}
    for right, seen in (
        (LIST, _listing(api, "compute", "/servers/detail")),
        (IMAGES, _listing(api, "image", "/images")),
        (CREATE, _creating(api)),
        (ALLOCATE, _allocating(api)),
        (FLOATING_IPS, _floating_ips(api)),
    ):
        if seen[0] != UNKNOWN or states[right][0] == UNKNOWN:
            states[right] = seen
    if states[LIST][0] == GRANTED:
        states |= _acting(api, deployment_id, {right: state for right, (state, _) in states.items()})
    return [_finding(right, *states[right]) for right in ALL]


def _finding(right: Right, state: str, seen: str) -> Finding:
    if state == MISSING:
        remedy = f"Give the center's user a role that the policy {right.policy} allows. Without it Portico cannot {right.use}."
    elif state == UNKNOWN:
        remedy = f"It shows when Portico first has to {right.use}: no call that changes nothing tells it."
    else:
        remedy = ""
    detail = f"{right.policy}: {seen}" if state == MISSING else right.policy
    return Finding(right.name, state, remedy, "rights", detail)


def _listing(api: Api, service: str, path: str) -> tuple[str, str]:
    answer = api.ask("GET", service, path, params={"limit": 1})
    if answer.is_success:
        return GRANTED, "listed"
    return (MISSING if answer.status == 403 else UNKNOWN), sentence_of(answer)


def _creating(api: Api) -> tuple[str, str]:
    """Ask for a machine of an image that does not exist: the right is asked for before the image is looked for."""
    flavors = openstack_choices.flavors(api)
    if not flavors:
        return UNKNOWN, "no flavor to try it with"
    wanted = {
        "name": "portico-preflight", "imageRef": str(uuid4()), "flavorRef": flavors[0]["id"], "networks": "none",
    }  # fmt: skip
    answer = api.ask("POST", "compute", "/servers", json={"server": wanted})
    words = sentence_of(answer)
    if answer.status == 403:
        return MISSING, words
    return (GRANTED if answer.status in (400, 404) and "image" in words.lower() else UNKNOWN), words


def _allocating(api: Api) -> tuple[str, str]:
    """Ask for a floating IP of a network that does not exist: Neutron answers who may not, 403, and who may, 404."""
    answer = api.ask("POST", "network", "/floatingips", json={"floatingip": {"floating_network_id": str(uuid4())}})
    words = sentence_of(answer)
    if answer.status == 403:
        return MISSING, words
    return (GRANTED if answer.status in (400, 404) else UNKNOWN), words


def _floating_ips(api: Api) -> tuple[str, str]:
    """List floating IPs. Neutron shows an empty list also to who may not see any."""
    answer = api.ask("GET", "network", "/floatingips", params={"limit": 1})
    if answer.status == 403:
        return MISSING, sentence_of(answer)
    return (GRANTED, "listed") if answer.is_success and answer.body.get("floatingips") else (UNKNOWN, "")


def _acting(api: Api, deployment_id: str, known: dict[Right, str]) -> dict[Right, tuple[str, str]]:
    """Try on instances of ours what they must refuse in the state that they are in: 409 from who may, 403 from who may not."""
    wanted = {name: right for name, right in ACTIONS.items() if known[right] == UNKNOWN}
    found: dict[Right, tuple[str, str]] = {}
    if not wanted:
        return found
    tried: set[str] = set()
    for server in api.get("compute", "/servers/detail", params={"limit": 200}).get("servers", []):
        status = str(server.get("status"))
        ours = (server.get("metadata") or {}).get(TAG_DEPLOYMENT) == deployment_id
        if not ours or status in tried or server.get("OS-EXT-STS:task_state"):
            continue
        tried.add(status)
        for name in _IMPOSSIBLE.get(status, ()):
            if name in wanted and wanted[name] not in found:
                seen = _refused(api, str(server["id"]), status, name)
                found |= {wanted[name]: seen} if seen[0] != UNKNOWN else {}
    return found


def _refused(api: Api, server_id: str, status: str, name: str) -> tuple[str, str]:
    now = api.ask("GET", "compute", f"/servers/{server_id}")
    server = now.body.get("server", {}) if now.is_success else {}
    if server.get("status") != status or server.get("OS-EXT-STS:task_state"):
        return UNKNOWN, ""  # it has moved on: this would do something
    answer = api.ask("POST", "compute", f"/servers/{server_id}/action", json={name: _ARGUMENTS.get(name)})
    return {403: MISSING, 409: GRANTED}.get(answer.status, UNKNOWN), sentence_of(answer)


def _flavors(api: Api) -> list[Finding]:
    found = openstack_choices.flavors(api)
    if not found:
        return [Finding("flavors", MISSING, "Give the project a flavor: without one nothing can be made.", "flavors")]
    findings = [Finding("flavors", GRANTED, "", "flavors", f"{len(found)} to choose from")]
    fleeting = [str(one["name"]) for one in found if openstack_choices.ephemeral_gib(one)]
    if fleeting:
        remedy = (
            "Choose another flavor where people keep data: an ephemeral disk is lost at deletion and not in snapshots."
        )
        findings.append(Finding("ephemeral disks", "warning", remedy, "flavors", ", ".join(fleeting)))
    metal = [str(one["name"]) for one in found if openstack_choices.is_metal(one)]
    if metal:
        detail = f"{', '.join(metal)}: minutes to boot, no suspend, no pause, no shelve"
        findings.append(Finding("bare metal flavors", GRANTED, "", "flavors", detail))
    return findings
