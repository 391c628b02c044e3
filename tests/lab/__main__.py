"""The lab's commands: `python3 -m tests.lab up|down|status|wipe|install|guest-up|guest-down`."""

import sys

from tests.lab import cluster, guest_run, install
from tests.lab.processes import Trouble


def down() -> None:
    """Stop everything, the hypervisor of real guests first: QEMU would stay behind."""
    guest_run.down()
    cluster.down()


def wipe() -> None:
    """Stop everything and forget it."""
    guest_run.down()
    cluster.wipe()


COMMANDS = {
    "up": cluster.up,
    "down": down,
    "status": cluster.status,
    "wipe": wipe,
    "install": install.ensure,
    "guest-up": guest_run.up,
    "guest-down": guest_run.down,
}


def main(arguments: list[str]) -> int:
    """Run one command."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"usage: python3 -m tests.lab {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    try:
        return int(COMMANDS[arguments[0]]() or 0)
    except Trouble as trouble:
        print(f"lab: {trouble}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
