"""What a project has used, as Nova counts it (os-simple-tenant-usage): every instance, whoever made it, the deleted ones too."""

from datetime import UTC, datetime

from portico.clouds.openstack_session import Api
from portico.errors import CloudError
from portico.ports.cloud import Usage

MOST_PAGES = 1000
_SUMS = ("total_hours", "total_vcpus_usage", "total_memory_mb_usage", "total_local_gb_usage")
_MOMENT = "%Y-%m-%dT%H:%M:%S"  # Nova takes and gives UTC without saying so


def usage(api: Api, since: datetime, until: datetime) -> Usage:
    """Return the sums of a time, which ends now at the latest. Raises CloudRefused without the right, CloudError."""
    span = {"start": since.astimezone(UTC).strftime(_MOMENT), "end": until.astimezone(UTC).strftime(_MOMENT)}
    path, sums, machines = f"/os-simple-tenant-usage/{api.project_id}", dict.fromkeys(_SUMS, 0.0), 0
    for _ in range(MOST_PAGES):
        answer = api.get("compute", path, params=span)
        try:
            found = answer["tenant_usage"]  # empty where there was no instance
            listed = found.get("server_usages", [])
            sums = {name: total + float(found.get(name, 0)) for name, total in sums.items()}
            machines += len(listed)
            marker = str(listed[-1]["instance_id"]) if listed else ""
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise CloudError("Nova tells the usage in a way that is not understood.", repr(problem)) from problem
        if not marker or not answer.get("tenant_usage_links"):
            break
        span["marker"] = marker  # of a long list each page has its own sums
    hours, cores, memory, disk = (sums[name] for name in _SUMS)
    return Usage(since, until, machines, hours, cores, memory / 1024, disk)
