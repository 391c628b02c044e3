"""Projects, people, roles, the catalogue, application credentials."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.lab import places
from tests.lab.places import PASSWORD, REGION
from tests.lab.rest import Cloud
from tests.lab.rights import RIGHTS

PROJECTS = ("vdi", "vdi2", "small")
SERVICES = ("glance", "placement", "neutron", "nova", "cinder", "ironic")
CATALOGUE = {
    "image": ("glance", places.url("glance")), "placement": ("placement", places.url("placement")),
    "network": ("neutron", places.url("neutron")), "compute": ("nova", places.url("nova-api") + "/v2.1"),
    "volumev3": ("cinder", places.url("cinder-api") + "/v3"), "baremetal": ("ironic", places.url("ironic-api")),
}  # fmt: skip
# Who is in which project, with which roles. Each withheld right has a member of `vdi` who is without it.
PEOPLE = {
    "broker": ("vdi", ("member", "reader")), "broker2": ("vdi2", ("member", "reader")),
    "broker-small": ("small", ("member", "reader")), "reader": ("vdi", ("reader",)),
    **{right.user: ("vdi", ("member", right.user)) for right in RIGHTS},
}  # fmt: skip
SECRETS = {"portico": "oslab-credential", "expired": "oslab-expired"}


def seed() -> None:
    """Make everything that Keystone keeps."""
    admin = Cloud("admin", "admin")
    names = (*{role for _, roles in PEOPLE.values() for role in roles}, "service")
    roles = {name: admin.ensure("identity", "/roles", "role", name)["id"] for name in names}
    roles["admin"] = _called(admin, "roles", "admin")["id"]
    projects = {
        name: admin.ensure("identity", "/projects", "project", name, domain_id="default")["id"]
        for name in ("service", *PROJECTS)
    }
    for name in SERVICES:
        _user(admin, name, projects["service"], [roles["admin"], roles["service"]])
    for name, (project, wanted) in PEOPLE.items():
        _user(admin, name, projects[project], [roles[role] for role in wanted])
    everywhere = _called(admin, "users", "admin")
    for project in PROJECTS:
        _grant(admin, projects[project], everywhere["id"], roles["admin"])
    _catalogue(admin)
    _credentials()


def _called(cloud: Cloud, collection: str, name: str) -> dict[str, Any]:
    return next(entry for entry in cloud.listed("identity", f"/{collection}") if entry["name"] == name)


def _user(admin: Cloud, name: str, project: str, roles: list[str]) -> None:
    values = {"password": PASSWORD, "domain_id": "default", "default_project_id": project}
    user = admin.ensure("identity", "/users", "user", name, **values)
    for role in roles:
        _grant(admin, project, user["id"], role)


def _grant(admin: Cloud, project: str, user: str, role: str) -> None:
    admin.put("identity", f"/projects/{project}/users/{user}/roles/{role}", None)


def _catalogue(admin: Cloud) -> None:
    known = admin.listed("identity", "/endpoints")
    for kind, (name, place) in CATALOGUE.items():
        service = admin.ensure("identity", "/services", "service", name, type=kind)
        for interface in ("public", "internal", "admin"):
            if not any(one["service_id"] == service["id"] and one["interface"] == interface for one in known):
                end = {"service_id": service["id"], "interface": interface, "region_id": REGION, "url": place}
                admin.post("identity", "/endpoints", {"endpoint": end})


def _credentials() -> None:
    """Give the broker two application credentials for `vdi`; the second is valid for seconds only."""
    broker = Cloud("broker", "vdi")
    broker.log_in()
    path = f"/users/{broker.ids['user']}/application_credentials"
    known = {one["name"] for one in broker.listed("identity", path)}
    soon = (datetime.now(UTC) + timedelta(seconds=8)).strftime("%Y-%m-%dT%H:%M:%S.000000")
    for name, secret in SECRETS.items():
        if name not in known:
            ends = {"expires_at": soon} if name == "expired" else {}
            broker.post("identity", path, {"application_credential": {"name": name, "secret": secret, **ends}})
