"""Fake center: thousands of machines in memory, with times, quota and faults to order. For tests, benchmarks and drills.

The truth is a journal in the center's state directory, one line for each change; memory is its replay. So a broker's restart,
a kill -9, and several brokers over one center all see the same machines.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar

from portico.clouds.fake_faults import Faults
from portico.clouds.fake_journal import Journal, Record
from portico.domain.model import Power, PowerAction
from portico.errors import CloudError, CloudLoginRefused, CloudNotFound, CloudRefused, QuotaExceeded
from portico.ports.cloud import (
    Belonging,
    Capabilities,
    Choice,
    Choices,
    CloudContext,
    CloudImage,
    Console,
    Finding,
    Machine,
    MachineSpec,
    Meta,
    Scan,
    Usage,
)

IMAGES = (
    CloudImage("fake-linux", "Fake Linux", "linux", 10, 1024, "public"),
    CloudImage("fake-windows", "Fake Windows", "windows", 40, 4096, "private"),
)
_PROTOCOLS = {"linux": {"vnc": 5900, "ssh": 22}, "windows": {"rdp": 3389}}
_FAMILY = {image.external_id: image.os_family for image in IMAGES}

# action → the states that it may start from, the state passed through while it takes its time, the state that it leads to
_POWER: dict[PowerAction, tuple[frozenset[Power], Power, Power]] = {
    PowerAction.START: (frozenset({Power.STOPPED, Power.RUNNING}), Power.STARTING, Power.RUNNING),
    PowerAction.STOP: (frozenset({Power.RUNNING, Power.STOPPED, Power.SUSPENDED}), Power.STOPPED, Power.STOPPED),
    PowerAction.SHUTDOWN: (frozenset({Power.RUNNING, Power.STOPPED}), Power.STOPPING, Power.STOPPED),
    PowerAction.REBOOT: (frozenset({Power.RUNNING}), Power.STARTING, Power.RUNNING),
    PowerAction.RESET: (frozenset({Power.RUNNING}), Power.STARTING, Power.RUNNING),
    PowerAction.SUSPEND: (frozenset({Power.RUNNING, Power.SUSPENDED}), Power.SUSPENDED, Power.SUSPENDED),
    PowerAction.RESUME: (frozenset({Power.SUSPENDED, Power.RUNNING}), Power.RUNNING, Power.RUNNING),
}


@dataclass(frozen=True, slots=True)
class FakeSettings:
    """How the fake cloud behaves."""

    build_seconds: Annotated[float, Meta("Build time", "How long a new machine takes to be built.", unit="s")] = 0.0
    boot_seconds: Annotated[float, Meta("Boot time", "How long a machine takes to start.", unit="s")] = 0.0
    quota: Annotated[int, Meta("Quota", "How many machines the project may have.")] = 100_000
    latency_seconds: Annotated[float, Meta("Latency", "How long each call takes.", unit="s", advanced=True)] = 0.0
    clock_factor: Annotated[
        float, Meta("Clock factor", "How many seconds of the fake cloud pass in one real second.", advanced=True)
    ] = 1.0
    errors: Annotated[
        str,
        Meta(
            "Faults",
            "Comma-separated OPERATION[:WHEN]:FAULT, WHEN being a call's number or everyN. For example: create:3:quota, "
            "scan:partial, create:every5:error, create:crash_after_accept, create:2:build_error.",
            advanced=True,
        ),
    ] = ""


class Fake:
    """A cloud that makes nothing, quickly, and fails as told."""

    kind: ClassVar[str] = "fake"
    Settings: ClassVar[type] = FakeSettings

    def __init__(
        self,
        settings: FakeSettings,
        context: CloudContext,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = threading.Event().wait,
    ) -> None:
        """Join the center's machines, those of earlier processes included. Raises Invalid for a fault that cannot be read."""
        self._settings = settings
        self._context = context
        self._clock = clock
        self._sleep = sleep
        self._faults = Faults.read(settings.errors)
        self._journal = Journal.of(context.state / f"fake-{context.center_id}.jsonl")

    def capabilities(self) -> Capabilities:
        """Return that machines can be made and switched."""
        return Capabilities(provisions=True, power=frozenset(_POWER))

    def check(self) -> tuple[Finding, ...]:
        """Report that all is well, unless a fault is ordered."""
        self._call("check")
        return (Finding("fake cloud", "granted"),)

    def scan(self, since: datetime | None = None) -> Scan:
        """List all machines, or those that changed after `since`, the deleted among them marked gone."""
        fault = self._call("scan")
        with self._journal.reading() as records:
            if since is None:
                chosen = [record for record in records.values() if not record.gone]
            else:
                after = since.timestamp()
                chosen = [record for record in records.values() if record.changed >= after]
            now = self._clock()
            machines = [self._machine(record, now) for record in chosen]
        if fault == "partial":
            machines = machines[: len(machines) // 2]
        return Scan(tuple(machines), IMAGES, complete=since is None and fault != "partial")

    def look(self, external_id: str) -> Machine | None:
        """Look at one machine."""
        self._call("look")
        with self._journal.reading() as records:
            record = records.get(external_id)
            return None if record is None or record.gone else self._machine(record, self._clock())

    def choices(self) -> Choices:
        """Return menus of the size that a small cloud has."""
        self._call("choices")
        return Choices(
            images=tuple(Choice(image.external_id, image.name) for image in IMAGES),
            flavors=(Choice("small", "small", "1 vCPU, 1 GiB"), Choice("large", "large", "4 vCPU, 8 GiB")),
            networks=(Choice("fake-net", "fake-net", "198.18.0.0/15"),),
            zones=(Choice("fake-zone", "fake-zone"),),
            security_groups=(Choice("default", "default"), Choice("fake-desktops", "fake-desktops")),
            volume_types=(Choice("fake-fast", "fake-fast"), Choice("fake-cheap", "fake-cheap")),
            server_groups=(Choice("fake-apart", "fake-apart", "anti-affinity"),),
            key_pairs=(Choice("fake-key", "fake-key"),),
            floating_networks=(Choice("fake-public", "fake-public"),),
        )

    def create(self, spec: MachineSpec) -> str:
        """Record a new machine and return its id; the same desktop gets the same machine."""
        fault = self._call("create")
        if spec.image_id not in _FAMILY:
            raise CloudRefused("The fake cloud has no such image.", spec.image_id)
        with self._journal.writing() as (records, write):
            external_id = f"fake-{spec.desktop_id}"
            found = records.get(external_id)
            if found is None or found.gone:
                if self._journal.live >= self._settings.quota:
                    raise QuotaExceeded("The fake cloud's quota is used up.", quota=self._settings.quota)
                write(self._record(external_id, self._journal.next_number, spec, fault == "build_error"))
        if fault == "crash_after_accept":
            raise CloudError("The fake cloud's answer was lost.")
        return external_id

    def delete(self, external_id: str) -> None:
        """Mark the machine deleted."""
        self._call("delete")
        with self._journal.writing() as (records, write):
            record = records.get(external_id)
            if record is not None and not record.gone:
                write(record._replace(gone=True, changed=time.time()))

    def power(self, external_id: str, action: PowerAction) -> None:
        """Start a power action, which takes the boot time where something has to boot."""
        self._call("power")
        with self._journal.writing() as (records, write):
            record = records.get(external_id)
            if record is None or record.gone:
                raise CloudNotFound("The fake cloud does not know this machine.", external_id)
            if action not in _POWER:
                raise CloudRefused("The fake cloud cannot do this.", action)
            allowed, _, after = _POWER[action]
            now = self._clock()
            if self._power(record, now) not in allowed:
                raise CloudRefused(f"This machine cannot {action} in the state that it is in.", external_id)
            if record.power != after or action in (PowerAction.REBOOT, PowerAction.RESET):
                write(record._replace(action=action.value, power=after.value, since=now, changed=time.time()))

    def belongings(self) -> tuple[Belonging, ...]:
        """List the machines that carry our tag."""
        self._call("belongings")
        with self._journal.reading() as records:
            return tuple(
                Belonging("machine", record.external_id, record.name, record.desktop_id,
                          datetime.fromtimestamp(record.created, UTC), record.external_id)
                for record in records.values()
                if not record.gone and record.deployment_id == self._context.deployment_id
            )  # fmt: skip

    def remove(self, belonging: Belonging) -> None:
        """Remove a machine that carries our tag."""
        with self._journal.reading() as records:
            record = records.get(belonging.external_id)
        if record is not None and record.deployment_id != self._context.deployment_id:
            raise CloudRefused("This machine is not ours.", belonging.external_id)
        self.delete(belonging.external_id)

    def mend(self, fix: str) -> None:
        """Refuse: there is nothing to mend."""
        raise CloudRefused("The fake cloud has nothing to mend.", fix)

    def console(self, external_id: str) -> Console:
        """Refuse: fake machines have no console."""
        raise CloudRefused("Fake machines have no console.", external_id)

    def snapshot(self, external_id: str, name: str) -> str:
        """Refuse: fake machines have no disk."""
        raise CloudRefused("Fake machines have no disk to make an image of.", external_id)

    def usage(self, since: datetime, until: datetime) -> Usage:
        """Refuse: nothing is counted."""
        raise CloudRefused("The fake cloud counts no usage.")

    def _call(self, operation: str) -> str:
        if self._settings.latency_seconds:
            self._sleep(self._settings.latency_seconds)
        fault = self._faults.next(operation)
        if fault == "error":
            raise CloudError("The fake cloud failed, as ordered.", operation)
        if fault == "quota":
            raise QuotaExceeded("The fake cloud's quota is used up, as ordered.", operation)
        if fault == "login":
            raise CloudLoginRefused("The fake cloud does not accept the log-in, as ordered.", operation)
        if fault == "refused":
            raise CloudRefused("The fake cloud refuses, as ordered.", operation)
        return fault

    def _record(self, external_id: str, number: int, spec: MachineSpec, broken: bool) -> Record:
        now = time.time()
        return Record(
            external_id=external_id,
            number=number,
            name=spec.name,
            desktop_id=spec.desktop_id,
            deployment_id=spec.deployment_id,
            image_id=spec.image_id,
            flavor=spec.flavor,
            tags=dict(spec.tags),
            created=now,
            changed=now,
            born=self._clock(),
            broken=broken,
        )

    def _power(self, record: Record, now: float) -> Power:
        factor = self._settings.clock_factor
        if not record.action:
            age = _elapsed(now, record.born) * factor - self._settings.build_seconds
            return Power.RUNNING if age >= self._settings.boot_seconds else Power.STARTING
        _, passing, after = _POWER[PowerAction(record.action)]
        done = _elapsed(now, record.since) * factor >= self._settings.boot_seconds
        return after if done else passing

    def _machine(self, record: Record, now: float) -> Machine:
        ready = _elapsed(now, record.born) * self._settings.clock_factor >= self._settings.build_seconds
        broken = record.broken and ready
        family = _FAMILY.get(record.image_id, "linux")
        return Machine(
            external_id=record.external_id,
            name=record.name,
            power=Power.ERROR if broken else self._power(record, now),
            ready=ready and not broken,
            error="The fake cloud failed to build this machine, as ordered." if broken else "",
            desktop_id=record.desktop_id,
            deployment_id=record.deployment_id,
            address=f"198.{18 + (record.number >> 16) % 2}.{record.number >> 8 & 255}.{record.number & 255}",
            image_id=record.image_id,
            flavor=record.flavor,
            created_at=datetime.fromtimestamp(record.created, UTC),
            os_family=family,
            protocols=_PROTOCOLS[family],
            tags=record.tags,
            gone=record.gone,
        )


def _elapsed(now: float, then: float) -> float:
    # The monotonic clock starts anew with the host: what was begun before that is long done.
    return now - then if now >= then else float("inf")
