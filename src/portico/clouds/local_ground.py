"""The ground that the desktops of one local center stand on: its directory, and the addresses and displays that go with it."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from portico.clouds import local_processes
from portico.clouds.local_desktop import Desktop, Place, locked
from portico.errors import QuotaExceeded
from portico.ports.cloud import MachineSpec

MOST_DESKTOPS = 200  # so many display numbers has each center
_EXTERNAL_ID = re.compile(r"local-[0-9a-f]{12}")
_LONGEST_PATH = 60  # with a socket's name behind it, it must fit into the 108 bytes of unix(7)


class Ground:
    """Where desktops are made and found. What changes it is done under `lock()`."""

    def __init__(self, root: Path, center_id: str, most: int) -> None:
        self.root = root
        self._center_id = center_id
        self._most = min(most, MOST_DESKTOPS)
        # 127.NETWORK.0.x and the display numbers beside it belong to this directory, as far as chance allows.
        self.network = 16 + hashlib.sha256(os.fsencode(root)).digest()[0] % 224

    def lock(self) -> AbstractContextManager[int]:
        """Keep other threads and processes from changing this ground. Raises TimeoutError, OSError."""
        return locked(self.root / ".lock")

    def place(self, external_id: str) -> Place | None:
        """Return the place of this id, None when no desktop of ours is called so."""
        return Place(self.root / external_id) if _EXTERNAL_ID.fullmatch(external_id) else None

    def place_for(self, spec: MachineSpec) -> Place:
        """Return where this desktop stands or will stand: the same one for the same ids."""
        digest = hashlib.sha256(f"{spec.deployment_id}/{spec.desktop_id}".encode()).hexdigest()
        return Place(self.root / f"local-{digest[:12]}")

    def places(self) -> Iterator[Place]:
        """Go through the places of all desktops."""
        if self.root.is_dir():
            yield from (Place(path) for path in sorted(self.root.iterdir()) if _EXTERNAL_ID.fullmatch(path.name))

    def sweep(self) -> None:
        """Remove what a killed create or delete left; they work under the lock, so nothing in there runs."""
        for pattern in (".making-*", ".gone-*"):
            for path in self.root.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def accept(self, place: Place, spec: MachineSpec) -> None:
        """Write a new desktop down, all at once. Raises QuotaExceeded, OSError."""
        taken = {desktop.index for other in self.places() if (desktop := other.read())}
        if len(taken) >= self._most:
            raise QuotaExceeded("This machine has as many desktops as its center allows.", quota=self._most)
        index = self._free_index(taken)
        aside = Place(self.root / f".making-{place.external_id}")
        aside.directory.mkdir(mode=0o711)
        aside.write(
            Desktop(
                external_id=place.external_id,
                desktop_id=spec.desktop_id,
                deployment_id=spec.deployment_id,
                center_id=self._center_id,
                name=spec.name,
                image_id=spec.image_id,
                flavor=spec.flavor,
                tags=dict(spec.tags),
                agent=dict(spec.agent),
                account=account_of(place.external_id),
                address=self._address(index),
                display=self._display(index),
                index=index,
                created=time.time(),
            )
        )
        aside.directory.rename(place.directory)

    def _free_index(self, taken: set[int]) -> int:
        addresses = {address for address, _ in local_processes.listening()}
        for index in range(MOST_DESKTOPS):
            foreign = self._address(index) in addresses or Path(f"/tmp/.X{self._display(index)}-lock").exists()  # noqa: S108
            if index not in taken and not foreign:
                return index
        raise QuotaExceeded("This machine has no free display number.", quota=MOST_DESKTOPS)

    def _address(self, index: int) -> str:
        return f"127.{self.network}.0.{index + 1}"

    def _display(self, index: int) -> int:
        return 1000 + (self.network - 16) * MOST_DESKTOPS + index

    def problem(self) -> str:
        """Return why desktops cannot live here, with the remedy, or an empty text."""
        if len(os.fsencode(self.root)) > _LONGEST_PATH:
            return f"The path {self.root} is longer than {_LONGEST_PATH} bytes: choose a shorter directory."
        if os.geteuid() == 0:
            for parent in self.root.parents:
                if parent.exists() and not parent.stat().st_mode & 0o001:
                    return (
                        f"Desktops' accounts cannot pass through {parent}: chmod o+x it, or choose another directory."
                    )
        return ""


def account_of(external_id: str) -> str:
    """Return the system account that a desktop runs as, empty when we may not make one."""
    return "portico-" + external_id.removeprefix("local-") if os.geteuid() == 0 else ""
