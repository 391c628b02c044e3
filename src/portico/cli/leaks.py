"""`portico leaks clean`: delete what was left over in the clouds, after it was shown and agreed to."""

import argparse
import sys
from typing import Any

from portico.cli import logins, output
from portico.cli.api import Client
from portico.errors import Invalid, PorticoError

COLUMNS = ("id", "kind", "name", "reason.code", "created_at")
ELSEWHERE = "leak.elsewhere"  # hangs on a machine that is not ours: only ever deleted one by one


def options(verbs: Any) -> None:
    """Add the verb."""
    about = "Delete what was left over: ports, volumes and floating IPs; machines only with --machines"
    parser = verbs.add_parser("clean", help=about, description=about, allow_abbrev=False)
    parser.add_argument("--center", default="", help="only of this center")
    parser.add_argument("--machines", action="store_true", help="also machines: somebody may still be at work on one")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--wait", action="store_true", help="wait until all is deleted")
    parser.add_argument(
        "--timeout", type=float, default=600, metavar="SECONDS", help="of --wait, for each; default: %(default)s"
    )
    output.options(parser)
    logins.options(parser)


def clean(client: Client, given: argparse.Namespace) -> int:
    """Show, ask, delete. Returns 1 when something was refused."""
    query = {"state": "open"} | ({"center": given.center} if given.center else {})
    found = [one for one in client.items("leaks", query) if _goes(one, given.machines)]
    output.rows(found, given.column or COLUMNS, given.format)
    if given.dry_run or not found or not (given.yes or _agreed(len(found))):
        return 0
    refused, jobs = 0, []
    for one in found:
        try:
            jobs.append(client.call("POST", f"leaks/{one['id']}/remove", {})["job"])
        except PorticoError as problem:
            refused += 1
            sys.stderr.write(f"portico: {one['kind']} {one['name']}: {problem.sentence}\n")
    for job in jobs if given.wait else ():
        client.wait(job, given.timeout)
    return 1 if refused else 0


def _goes(leak: dict[str, Any], machines: bool) -> bool:
    return leak["reason"]["code"] != ELSEWHERE and (machines or leak["kind"] != "machine")


def _agreed(number: int) -> bool:
    if not sys.stdin.isatty():
        raise Invalid("There is nobody to ask. Add --yes to delete these, or --dry-run to see them only.")
    sys.stderr.write(f"Delete these {number} for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
