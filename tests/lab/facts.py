"""What there is in the lab: written once it is seeded, loaded by tests as one frozen record."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.lab.places import CLOUDS, FACTS, FAKE_HOSTS, KEY, KEYSTONE, PASSWORD, REGION
from tests.lab.rest import Cloud
from tests.lab.rights import RIGHTS
from tests.lab.seed_identity import PEOPLE, PROJECTS, SECRETS
from tests.lab.seed_network import OWNERS

Ids = Mapping[str, str]  # Name → id.


@dataclass(frozen=True)
class Facts:
    """The lab as it was seeded. Ids by name; what belongs to a project stands below its name."""

    auth_url: str
    region: str
    password: str  # Everybody's.
    projects: Ids
    users: Mapping[str, Mapping[str, str]]  # Name → {"id", "project"}.
    credentials: Mapping[
        str, Mapping[str, str]
    ]  # "portico" and "expired" → {"id", "secret"}; both the broker's, on vdi.
    rights: Mapping[str, Mapping[str, Any]]  # Name → {"user" who is without it, "service", "rules"}.
    external: Ids
    networks: Mapping[str, Ids]
    subnets: Mapping[str, Ids]
    routers: Mapping[str, Ids]
    security_groups: Mapping[str, Ids]
    server_groups: Ids
    flavors: Ids
    images: Ids
    volume_types: Ids
    nodes: Ids
    zones: list[str]
    key: str  # The file with the private half of the key pair `portico`.
    clouds: str  # The clouds.yaml; its clouds are called like the users, and "admin" and "system".


def load(path: Path = FACTS) -> Facts:
    """Read what `write` wrote."""
    return Facts(**json.loads(path.read_text("utf-8")))


def write() -> None:
    """Look at the lab and write down what is there, for tests (lab.json) and for other clients (clouds.yaml)."""
    facts = _look()
    FACTS.write_text(json.dumps(asdict(facts), indent=1) + "\n", "utf-8")
    CLOUDS.write_text(json.dumps({"clouds": _clouds(facts)}, indent=1) + "\n", "utf-8")  # JSON is YAML.


def _named(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["name"]: entry["id"] for entry in entries}


def _look() -> Facts:
    admin = Cloud("admin", "admin")
    projects = {name: key for name, key in _named(admin.listed("identity", "/projects")).items() if name in PROJECTS}
    users = _named(admin.listed("identity", "/users"))
    broker = Cloud("broker", "vdi")
    broker.log_in()
    credentials = _named(broker.listed("identity", f"/users/{users['broker']}/application_credentials"))
    networks = admin.listed("network", "/networks")

    def owned(path: str) -> dict[str, Ids]:
        return {name: _named(admin.listed("network", f"{path}?project_id={key}")) for name, key in projects.items()}

    images = [
        *admin.listed("image", "/images?limit=100"),
        *(i for p, u in OWNERS.items() for i in Cloud(u, p).listed("image", "/images")),
    ]
    return Facts(
        auth_url=KEYSTONE, region=REGION, password=PASSWORD, projects=projects,
        users={name: {"id": users[name], "project": project} for name, (project, _) in PEOPLE.items()},
        credentials={name: {"id": credentials[name], "secret": secret} for name, secret in SECRETS.items()},
        rights={right.name: {"user": right.user, "service": right.service, "rules": list(right.rules)} for right in RIGHTS},
        external=_named([one for one in networks if one["router:external"]]),
        networks=owned("/networks"), subnets=owned("/subnets"), routers=owned("/routers"), security_groups=owned("/security-groups"),
        server_groups=_named(broker.listed("compute", "/os-server-groups")),
        flavors=_named(admin.listed("compute", "/flavors")), images=_named(images),
        volume_types=_named(admin.listed("volume", "/types", "volume_types")),
        nodes={node["name"]: node["uuid"] for node in Cloud("admin").listed("baremetal", "/nodes")},
        zones=sorted(FAKE_HOSTS.values()), key=str(KEY), clouds=str(CLOUDS),
    )  # fmt: skip


def _clouds(facts: Facts) -> dict[str, Any]:
    def entry(user: str, **scope: str) -> dict[str, Any]:
        auth = {"auth_url": KEYSTONE, "username": user, "password": PASSWORD, "user_domain_name": "Default", **scope}
        return {"auth": auth, "region_name": REGION, "interface": "public", "identity_api_version": 3}

    def project(name: str) -> dict[str, str]:
        return {"project_name": name, "project_domain_name": "Default"}

    made = {name: entry(name, **project(user["project"])) for name, user in facts.users.items()}
    made |= {"admin": entry("admin", **project("admin")), "system": entry("admin", system_scope="all")}
    for name, credential in facts.credentials.items():
        known = {"application_credential_id": credential["id"], "application_credential_secret": credential["secret"]}
        auth = {"auth_url": KEYSTONE, **known}
        made[f"credential-{name}"] = {"auth": auth, "auth_type": "v3applicationcredential", "region_name": REGION}
    return made
