"""One entry of a clouds.yaml as the settings of a center: that entry alone, with the files that it names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from portico.errors import Invalid

PLACES = (Path("clouds.yaml"), Path.home() / ".config/openstack/clouds.yaml", Path("/etc/openstack/clouds.yaml"))


def settings(name: str, path: Path | None) -> dict[str, Any]:
    """Return the settings of a center of the kind openstack. Raises Invalid when the file or the entry cannot be used."""
    found = path or _there()
    clouds = _clouds(found)
    if name not in clouds:
        known = ", ".join(sorted(clouds)) or "none"
        raise Invalid(f"{found} has no cloud called {name}. It has: {known}.")
    secret = found.with_name("secure.yaml")
    entry = dict(_merged(clouds[name], _clouds(secret).get(name, {}) if secret.exists() else {}))
    made = {"auth_type": "clouds.yaml", "cloud_name": name}
    certificates = entry.pop("cacert", None)
    if certificates:
        made["ca_certificates"] = _text(Path(str(certificates)).expanduser())
    return made | {"clouds_yaml": yaml.safe_dump({"clouds": {name: entry}}, sort_keys=True)}


def _there() -> Path:
    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    places = (Path(named), *PLACES) if named else PLACES
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise Invalid(f"There is no clouds.yaml in {', '.join(map(str, places))}. Name it with --clouds-yaml FILE.")
    return found


def _clouds(path: Path) -> dict[str, Any]:
    try:
        read = yaml.safe_load(_text(path))
    except yaml.YAMLError as problem:
        raise Invalid(f"{path} is not YAML.", detail=str(problem)) from problem
    clouds = read.get("clouds") if isinstance(read, Mapping) else None
    if not isinstance(clouds, Mapping) or not all(isinstance(one, Mapping) for one in clouds.values()):
        raise Invalid(f"{path} has no list of clouds.")
    return {str(name): entry for name, entry in clouds.items()}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = {key: _merged(below[key], value) if isinstance(value, Mapping) and isinstance(below.get(key), Mapping) else value
             for key, value in above.items()}  # fmt: skip
    return {**below, **inner}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise Invalid(f"{path} cannot be read.", detail=str(problem)) from problem
