"""What a pool asks of the cloud for one desktop, its dynamic tags filled in: written down first, handed over later."""

from dataclasses import asdict, dataclass
from datetime import tzinfo
from typing import Any

from portico.domain import templates, user_data
from portico.domain.model import Placement, Pool, Stage, Status
from portico.domain.tags import Value, padded, render
from portico.ports.cloud import MachineSpec
from portico.services.broker import Broker
from portico.store.records import adapter


@dataclass(frozen=True, slots=True)
class Named:
    """A desktop that will be: its name, its number, what fills the tags that all desktops of its pool share, and their zone."""

    name: str
    number: int
    tags: dict[str, Value]
    zone: tzinfo


def intent(broker: Broker, pool: Pool, named: Named, seconds: Any) -> dict[str, Any]:
    """Return the row of a desktop to build; `seconds` (a timedelta) is how long its build may take."""
    wanted, now, desktop_id = pool.provisioning, broker.now(), broker.new_id()
    values = named.tags | {
        "SEQUENCE": padded(named.number), "VM:NAME": named.name, "VM:ID": desktop_id,
        "DATE": templates.dated(now.astimezone(named.zone)),
    }  # fmt: skip
    display_name = templates.render_display(wanted.display_name_template, values)
    values["VM:DISPLAY_NAME"] = display_name or named.name
    placement = asdict(wanted.placement)
    placement["metadata"] = {key: render(text, values, "text") for key, text in wanted.placement.metadata.items()}
    spec = {
        "name": named.name, "image_id": wanted.image, "flavor": wanted.flavor, "network": wanted.network,
        "user_data": templates.render_script(wanted.user_data, values, user_data.TAGS), "options": dict(wanted.options),
        "placement": placement, "pool": pool.name, "actions": [asdict(action) for action in wanted.actions],
    }  # fmt: skip
    return {
        "id": desktop_id, "tenant_id": pool.tenant_id, "center_id": wanted.center_id, "name": named.name,
        "display_name": display_name, "stage": Stage.INTENT, "stage_at": now, "image_id": wanted.image,
        "deletable": wanted.deletable, "start_unavailable": wanted.start_unavailable, "max_sessions": wanted.max_sessions,
        "built_for_pool": pool.id, "spec": spec, "deadline_at": now + seconds, "created_at": now, "updated_at": now,
        "realm": "", "status": Status.UNAVAILABLE if wanted.start_unavailable else Status.AVAILABLE,
    }  # fmt: skip


def machine(broker: Broker, row: Any, token: str) -> MachineSpec:
    """Return what is handed to the cloud for a desktop's row; `token` is what its agent enrols with."""
    hello = {"broker_url": broker.config.public_url, "ca_fingerprint": broker.keys.ca_fingerprint, "token": token}
    return MachineSpec(
        desktop_id=row.id,
        deployment_id=broker.deployment_id,
        name=row.name,
        image_id=row.spec["image_id"],
        flavor=row.spec["flavor"],
        network=row.spec["network"],
        user_data=user_data.render(row.spec["user_data"], hello),
        agent=hello,
        tags={"portico:pool": row.spec["pool"]},
        display_name=row.display_name,
        placement=adapter(Placement).validate_python(row.spec.get("placement", {})),
        options=row.spec["options"],
    )
