"""`make bench-openstack`: what Portico's inventory and provisioning cost beside the bare calls to a real OpenStack, on the lab."""

import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, process_time
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from tests.bench.machine import ROOT, describe, table
from tests.lab import control, facts
from tests.lab.rest import Cloud, until
from tests.openstack.fleets import live, make_cloud_fleet, pool_of
from tests.openstack.projects import Project

from portico import logs
from portico.clouds import openstack_inventory, openstack_scan
from portico.clouds.openstack_session import Api
from portico.domain.model import Desktop
from portico.domain.sync import Seen, compare
from portico.services import provision
from portico.store import tables as t

OUT = ROOT / "build/bench"
SERVERS, REPLAYED, REFILL, YARDSTICK = 1000, 10_000, 40, 5
LOOPBACK = ("127.0.0.0/8",)


def main() -> int:
    """Measure everything on the lab, which must be up; nothing is asserted, since machines differ. Returns 0."""
    OUT.mkdir(parents=True, exist_ok=True)
    logs.configure("text", "warning")
    lab = facts.load()
    with tempfile.TemporaryDirectory(prefix="portico-bench-") as directory:
        state = Path(directory) / f"t{uuid4().hex[:10]}"
        state.mkdir()
        project = Project(lab, "vdi", "broker", state)
        try:
            parts = [_shown(f"{describe()}\n"), _shown(_inventory(project)), _shown(_refill(project))]
        finally:
            control.unclone()
            control.purge("broker", "vdi", project.mark)
    (OUT / "openstack.md").write_text("\n".join(parts), "utf-8")
    return 0


def _shown(text: str) -> str:
    print(text, flush=True)
    return text


def _inventory(project: Project) -> str:
    broker = Cloud("broker", "vdi")
    server = _made(broker, project, 0)
    calls = [
        ("a pass over 10 servers", *_passes(project, server, 10)),
        ("a pass over 1,000 servers", *_passes(project, server, SERVERS)),
    ]
    since = datetime.now(UTC) + timedelta(minutes=3)  # nothing changed: the look back is less than that
    calls.append(("what changed meanwhile, of 1,000", *_calls(project, since)))
    raw, listed = _timed(lambda: broker.get("compute", "/servers/detail?limit=1000")["servers"])
    rows = [["the API: list of all servers", len(listed), f"{raw * 1000:,.0f}", "1"]]
    small, parts = _ours(listed)
    rows += [[name, len(listed), f"{ms:,.1f}", f"{ms / raw / 10:.2f} %"] for name, ms in parts.items()]
    many = [{**one, "id": str(uuid4())} for _ in range(math.ceil(REPLAYED / len(listed))) for one in listed][:REPLAYED]
    large, parts = _ours(many)
    rows += [[f"{name}, replayed", len(many), f"{ms:,.1f}", "-"] for name, ms in parts.items()]
    exponent = math.log(large / small) / math.log(len(many) / len(listed))
    return "\n".join((
        table("Inventory of OpenStack", ["what", "servers", "ms", "of the API's time"], rows),
        f"\nGoal: reading and comparing take at most 1 % of the API's own time. They grow with the number to the power of {exponent:.2f}.\n",
        table("Calls of a pass", ["pass", "calls", "of which list servers"], [[name, sum(n.values()), n["/servers/detail"]] for name, n in calls]),
        "",
    ))  # fmt: skip


def _passes(project: Project, server: str, number: int) -> tuple[Counter[str]]:
    control.unclone()
    control.clone(server, number - 1)
    return _calls(project)


def _calls(project: Project, since: datetime | None = None) -> tuple[Counter[str]]:
    """Count the calls of one pass by their paths."""
    api, seen = Api(project.settings, LOOPBACK), Counter[str]()
    openstack_scan.scan(api)  # The first one also logs in and asks for versions.
    ask = api.ask

    def counting(method: str, service: str, path: str, **more: Any) -> Any:
        seen[path] += 1
        return ask(method, service, path, **more)

    api.ask = counting  # type: ignore[method-assign]
    openstack_scan.scan(api, since)
    return (seen,)


def _ours(listed: list[dict[str, Any]]) -> tuple[float, dict[str, float]]:
    """Return the CPU milliseconds of reading and comparing, together and each, all of them known and one in ten changed."""
    text = json.dumps({"servers": listed})
    seen: list[Seen] = []

    def read() -> None:
        seen[:] = [openstack_inventory.machine(one) for one in listed]

    decode = _spent(lambda: json.loads(text))
    reading = _spent(read)
    known = [
        Desktop(id=f"d{at}", tenant_id="t", center_id="c", name=one.name, external_id=one.external_id, power=one.power,
                address=one.address if at % 10 else "192.0.2.1")
        for at, one in enumerate(seen)
    ]  # fmt: skip
    comparing = _spent(lambda: compare(known, seen, True, "deployment", datetime.now(UTC), {}))
    return reading + comparing, {"decoding JSON": decode, "reading": reading, "comparing": comparing}


def _refill(project: Project) -> str:
    broker = Cloud("broker", "vdi")
    bare, _ = _timed(lambda: [_made(broker, project, number) for number in range(1, YARDSTICK + 1)])
    fleet = make_cloud_fleet(replace(project))
    pool = pool_of(fleet, project, REFILL)
    begun = monotonic()
    decision = provision.refill(fleet.broker, pool)
    with fleet.broker.db.read() as conn:
        queued = conn.scalar(select(func.count()).select_from(t.jobs).where(t.jobs.c.kind == "desktop_build"))
    deadline = monotonic() + 600
    while [row.stage for row in live(fleet)].count("ready") < REFILL and monotonic() < deadline:
        fleet.work()
        fleet.clock.forward(seconds=5)
        fleet.scan()
    spent, ready = monotonic() - begun, [row.stage for row in live(fleet)].count("ready")
    fleet.broker.db.dispose()
    each, yardstick = spent / max(ready, 1), bare / YARDSTICK
    rows = [
        ["the API: a server, one after the other", YARDSTICK, f"{yardstick:.2f}", "1"],
        ["a pool's desktop", ready, f"{each:.2f}", f"{each / yardstick:.2f}"],
    ]
    return "\n".join((
        f"One pass decided to build {decision.build if decision else 0} and queued {queued}; {ready} became ready.\n",
        table("Refilling a pool", ["what", "number", "seconds each", "of the API's time"], rows),
        "",
    ))  # fmt: skip


def _made(broker: Cloud, project: Project, number: int) -> str:
    wanted = {
        "name": f"{project.mark}-bare-{number}", "flavorRef": project.lab.flavors["desktop.small"],
        "imageRef": project.lab.images["linux-desktop"], "networks": [{"uuid": project.lab.networks["vdi"]["desktops"]}],
    }  # fmt: skip
    server = str(broker.post("compute", "/servers", {"server": wanted})["server"]["id"])
    until("it is built", lambda: broker.get("compute", f"/servers/{server}")["server"]["status"] == "ACTIVE")
    return server


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = monotonic()
    made = work()
    return monotonic() - begun, made


def _spent(work: Callable[[], object], times: int = 3) -> float:
    best = math.inf
    for _ in range(times):
        begun = process_time()
        work()
        best = min(best, process_time() - begun)
    return best * 1000


if __name__ == "__main__":
    sys.exit(main())
