"""The rights that Portico needs in its project, and what withholds each of them from one user of the lab.

Each right has a role and a user of the same name ("without-create"): an ordinary member of the project `vdi` in everything else.
"""

import json
from dataclasses import dataclass

MEMBER, READER = "rule:project_member_or_admin", "rule:project_reader_or_admin"
FLOATING = "(rule:admin_only) or (role:member and project_id:%(project_id)s)"
IMAGES = "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"


@dataclass(frozen=True)
class Right:
    """One right: the rules of a service's policy that grant it, and what these say by default."""

    name: str
    service: str
    rules: tuple[str, ...]
    default: str

    @property
    def user(self) -> str:
        """Return the name of the user, and of the role, that is without this right."""
        return f"without-{self.name}"


RIGHTS = (
    Right("list", "nova", ("os_compute_api:servers:index", "os_compute_api:servers:detail"), READER),
    Right("create", "nova", ("os_compute_api:servers:create",), MEMBER),
    Right("start", "nova", ("os_compute_api:servers:start",), MEMBER),
    Right("stop", "nova", ("os_compute_api:servers:stop",), MEMBER),
    Right("reboot", "nova", ("os_compute_api:servers:reboot",), MEMBER),
    Right("suspend", "nova", ("os_compute_api:os-suspend-server:suspend",), MEMBER),
    Right("resume", "nova", ("os_compute_api:os-suspend-server:resume",), MEMBER),
    Right("floating-create", "neutron", ("create_floatingip",), FLOATING),
    Right("floating-update", "neutron", ("update_floatingip",), FLOATING),
    Right("floating-delete", "neutron", ("delete_floatingip",), FLOATING),
    Right("images", "glance", ("get_images",), IMAGES),
)


def policy(service: str) -> str:
    """Return the policy file of a service."""
    mine = [right for right in RIGHTS if right.service == service]
    rules = {rule: f"({right.default}) and not role:{right.user}" for right in mine for rule in right.rules}
    return json.dumps(rules, indent=1) + "\n"  # JSON is YAML.
