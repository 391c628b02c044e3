"""The lab's commands: `python3 -m tests.lab up|down|status|wipe|install`."""

import sys

from tests.lab import cluster, install
from tests.lab.processes import Trouble

COMMANDS = {
    "up": cluster.up,
    "down": cluster.down,
    "status": cluster.status,
    "wipe": cluster.wipe,
    "install": install.ensure,
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
