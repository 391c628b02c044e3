"""Settings of drivers: shown as forms, checked against the driver's own, their secrets sealed and never shown again."""

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from portico.errors import Invalid
from portico.ports.directory import DirectoryContext
from portico.ports.driver import Meta
from portico.services.broker import Broker
from portico.services.shapes import path_of, sentence_of

_TYPES = {str: "text", int: "number", float: "number", bool: "flag"}


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field of a driver's settings, as a form shows it."""

    name: str
    title: str
    help: str
    type: str  # text | number | flag | secret | json
    required: bool
    default: Any
    unit: str
    choices: tuple[str, ...]
    advanced: bool
    multiline: bool = False


@dataclass(frozen=True, slots=True)
class KindInfo:
    """A kind of center and the fields of its settings."""

    kind: str
    title: str
    fields: tuple[FieldInfo, ...]


def kinds(drivers: Mapping[str, Any]) -> list[KindInfo]:
    """Return the kinds that this broker has drivers for."""
    return [KindInfo(kind, _title(driver), tuple(_fields(driver.Settings))) for kind, driver in sorted(drivers.items())]


def secret_names(settings: type, *, sent: bool = False) -> frozenset[str]:
    """Name the settings of a driver that are sealed; with `sent` those alone that it sends somewhere."""
    described = _described(settings).items()
    return frozenset(name for name, (_, meta) in described if meta.secret and not (sent and meta.own))


def check_settings(settings: type, values: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each wrong setting, by its path in the form."""
    described = _described(settings)
    wrong = {
        f"settings.{name}": "This kind has no such setting. Leave it out." for name in values if name not in described
    }
    for name, (_, meta) in described.items():
        if meta.choices and values.get(name) not in (None, "") and values[name] not in meta.choices:
            wrong[f"settings.{name}"] = f"Choose one of {', '.join(meta.choices)}."
    try:
        TypeAdapter(settings).validate_python({key: value for key, value in values.items() if key in described})
    except ValidationError as problem:
        for error in problem.errors(include_url=False):
            wrong.setdefault(f"settings.{path_of(error['loc'])}", sentence_of(error))
    except Invalid as problem:
        wrong.update(
            {f"settings.{key}": text for key, text in problem.fields.items()} or {"settings": problem.sentence}
        )
    return wrong


def _described(settings: type) -> dict[str, tuple[Any, Meta]]:
    found: dict[str, tuple[Any, Meta]] = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        meta = next((note for note in notes if isinstance(note, Meta)), Meta(name.replace("_", " ").capitalize()))
        found[name] = (get_args(hint)[0] if notes else hint, meta)
    return {item.name: found[item.name] for item in fields(settings)}


def refused_by(driver: Any, settings: Any) -> dict[str, str]:
    """Return what a driver of directories says against settings that are right one by one."""
    try:
        driver(settings, DirectoryContext()).close()
    except Invalid as problem:
        return {f"settings.{name}": text for name, text in problem.fields.items()} or {"settings": problem.sentence}
    return {}


def without_empty_secrets(settings: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the secrets that were left empty: they stay as they are."""
    named = secret_names(settings)
    return {key: value for key, value in values.items() if not (key in named and value in ("", None))}


def opened(broker: Broker, place: str, sealed: str | None) -> dict[str, Any]:
    """Return the secrets that were sealed for a place, none where there are none."""
    if not sealed:
        return {}
    found: dict[str, Any] = json.loads(broker.vault.open(place, sealed))
    return found


def parted(
    broker: Broker, settings: type, values: Mapping[str, Any], place: str, old: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Part settings into what may be seen and the sealed rest; secrets that were not typed stay those of `old`."""
    named = secret_names(settings)
    typed = {key: text for key, text in values.items() if key in named and text not in ("", None)}
    shown = {key: value for key, value in values.items() if key not in named}
    secrets = {**old, **typed}
    return shown, broker.vault.seal(place, json.dumps(secrets)) if secrets else None


def _title(driver: Any) -> str:
    return str(driver.__doc__ or driver.kind).strip().splitlines()[0].rstrip(".")


def _fields(settings: type) -> list[FieldInfo]:
    hints = typing.get_type_hints(settings, include_extras=True)
    found = []
    for item in dataclasses.fields(settings):
        plain, *more = typing.get_args(hints[item.name]) or (hints[item.name],)
        meta = next((one for one in more if isinstance(one, Meta)), Meta(item.name))
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        default = None if item.default is dataclasses.MISSING else item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        kind = "secret" if meta.secret else _TYPES.get(plain, "json")
        found.append(
            FieldInfo(
                item.name, meta.title, meta.help, kind, required, default, meta.unit, meta.choices, meta.advanced,
                meta.multiline,
            )
        )  # fmt: skip
    return found
