"""How much of a project's quota is left, as findings of the pre-flight."""

from collections.abc import Iterator

from portico.clouds.openstack_session import Api
from portico.errors import CloudError
from portico.ports.cloud import Finding

# what is counted, its limit and its use in Nova's or Cinder's answer, and the unit
_NOVA = (
    ("instances", "maxTotalInstances", "totalInstancesUsed", ""),
    ("cores", "maxTotalCores", "totalCoresUsed", ""),
    ("memory", "maxTotalRAMSize", "totalRAMUsed", " MiB"),
)
_CINDER = (
    ("volumes", "maxTotalVolumes", "totalVolumesUsed", ""),
    ("volume storage", "maxTotalVolumeGigabytes", "totalGigabytesUsed", " GiB"),
)
_NEUTRON = (("ports", "port"), ("floating IPs", "floatingip"))


def findings(api: Api) -> Iterator[Finding]:
    """Tell what is left of each quota; what is used up is a warning. Raises CloudError when Nova does not tell."""
    limits = api.get("compute", "/limits")["limits"]["absolute"]
    yield from (_finding(name, limits.get(most, -1), limits.get(used, 0), unit) for name, most, used, unit in _NOVA)
    try:
        limits = api.get("volume", "/limits")["limits"]["absolute"]
        yield from (
            _finding(name, limits.get(most, -1), limits.get(used, 0), unit) for name, most, used, unit in _CINDER
        )
    except CloudError as problem:
        yield Finding("volumes", "unknown", problem.sentence, "quota", problem.detail)
    try:
        quota = api.get("network", f"/quotas/{api.project_id}/details")["quota"]
    except CloudError as problem:
        yield Finding("floating IPs", "unknown", problem.sentence, "quota", problem.detail)
        return
    for name, key in _NEUTRON:
        about = quota.get(key, {})
        yield _finding(name, about.get("limit", -1), about.get("used", 0) + about.get("reserved", 0), "")


def _finding(name: str, most: int, used: int, unit: str) -> Finding:
    if most < 0:
        return Finding(name, "granted", "", "quota", f"{used}{unit} used, no limit")
    detail = f"{used} of {most}{unit} used, {max(0, most - used)}{unit} left"
    if used >= most:
        return Finding(
            name, "warning", "Have the quota raised, or delete what is not needed any more.", "quota", detail
        )
    return Finding(name, "granted", "", "quota", detail)
