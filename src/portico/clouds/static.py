"""Static center: machines that somebody else runs, listed by hand. Nothing is created, deleted or switched."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar

from portico.domain.model import Power, PowerAction
from portico.errors import CloudNotFound, CloudRefused, Invalid
from portico.ports.cloud import (
    Belonging,
    Capabilities,
    Choices,
    CloudContext,
    Console,
    Finding,
    Machine,
    MachineSpec,
    Meta,
    Scan,
    Usage,
)

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.(?!-)[A-Za-z0-9-]{1,63})*\.?")
_OS_FAMILIES = ("linux", "windows")


@dataclass(frozen=True, slots=True)
class StaticSettings:
    """The machines of a static center."""

    machines: Annotated[
        str,
        Meta(
            "Machines",
            "One line each: name address linux|windows protocol=port … "
            "For example: cad-07 10.0.3.7 windows rdp=3389. Lines that begin with # are comments.",
            multiline=True,
        ),
    ] = ""


class Static:
    """A list of machines as a cloud. A machine's name is its id, so that a changed address keeps the desktop."""

    kind: ClassVar[str] = "static"
    Settings: ClassVar[type] = StaticSettings

    def __init__(self, settings: StaticSettings, context: CloudContext) -> None:
        """Read the list. Raises Invalid naming each line that cannot be used."""
        self._machines = {machine.name: machine for machine in _read(settings.machines)}

    def capabilities(self) -> Capabilities:
        """Return that nothing can be made or switched here."""
        return Capabilities(provisions=False, power=frozenset(), user_data=False)

    def check(self) -> tuple[Finding, ...]:
        """Report whether any machine is listed; there is nothing to reach."""
        if self._machines:
            return (Finding("machines", "granted"),)
        return (Finding("machines", "missing", "List at least one machine in the settings of this center."),)

    def scan(self, since: datetime | None = None) -> Scan:
        """List the machines as written; whether they answer is for their agents and ports to show."""
        return Scan(machines=tuple(self._machines.values()), images=(), complete=since is None)

    def look(self, external_id: str) -> Machine | None:
        """Return a machine as it is written in the list."""
        return self._machines.get(external_id)

    def choices(self) -> Choices:
        """Return empty menus: nothing is provisioned here."""
        return Choices()

    def create(self, spec: MachineSpec) -> str:
        """Refuse: machines are added to the settings by hand."""
        raise CloudRefused("A static center makes no machines. Add them to its list.")

    def delete(self, external_id: str) -> None:
        """Refuse to remove a machine that is listed; an unknown one is success."""
        if external_id in self._machines:
            raise CloudRefused("A static center removes no machines. Take this one off its list.")

    def power(self, external_id: str, action: PowerAction) -> None:
        """Refuse: a static center has no power control."""
        if external_id not in self._machines:
            raise CloudNotFound("This machine is not on the list of its center (any more).", external_id)
        raise CloudRefused("A static center cannot control power.", f"{action} of {external_id}")

    def belongings(self) -> tuple[Belonging, ...]:
        """Return nothing: nothing is made here."""
        return ()

    def remove(self, belonging: Belonging) -> None:
        """Refuse: nothing here is ours."""
        raise CloudRefused("A static center removes nothing.", belonging.external_id)

    def mend(self, fix: str) -> None:
        """Refuse: nothing can be mended from here."""
        raise CloudRefused("A static center mends nothing.", fix)

    def console(self, external_id: str) -> Console:
        """Refuse: nothing is known of a console."""
        raise CloudRefused("Machines of a static center have no console here.", external_id)

    def snapshot(self, external_id: str, name: str) -> str:
        """Refuse: no images are made here."""
        raise CloudRefused("A static center makes no images.", external_id)

    def usage(self, since: datetime, until: datetime) -> Usage:
        """Refuse: nothing is counted."""
        raise CloudRefused("What machines of a static center use is not counted here.")


def _read(text: str) -> Iterator[Machine]:
    seen: set[str] = set()
    wrong: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            machine = _machine(line.split())
            if machine.name in seen:
                raise ValueError(f"the name {machine.name} is listed twice")
        except ValueError as problem:
            wrong.append(f"line {number}: {problem}")
            continue
        seen.add(machine.name)
        yield machine
    if wrong:
        raise Invalid("The list of machines has mistakes.", {"machines": "; ".join(wrong)})


def _machine(words: list[str]) -> Machine:
    if len(words) < 4:
        raise ValueError("a name, an address, linux or windows, and at least one protocol=port are wanted")
    name, address, family, *pairs = words
    if family not in _OS_FAMILIES:
        raise ValueError(f"{family} is neither linux nor windows")
    if not _is_host(address):
        raise ValueError(f"{address} is neither an address nor a host name")
    return Machine(
        external_id=name,
        name=name,
        power=Power.UNKNOWN,
        ready=True,
        address=address,
        os_family=family,
        protocols=dict(_protocol(pair) for pair in pairs),
    )


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return len(text) <= 253 and _HOST_NAME.fullmatch(text) is not None and not re.fullmatch(r"[\d.]+", text)
    return True


def _protocol(pair: str) -> tuple[str, int]:
    name, _, port = pair.partition("=")
    if not name or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{pair} is not of the form protocol=port")
    return name, int(port)
