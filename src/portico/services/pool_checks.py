"""What is wrong with how a pool is to build desktops: the path of each field, with a sentence that says what to do."""

from collections.abc import Mapping

from portico.domain import templates, user_data
from portico.domain.model import BuildAction, Provisioning, ProvisionLimits, TimeLimit
from portico.domain.tags import unknown
from portico.domain.windows import MAX_WINDOWS, clock
from portico.services.configure_settings import is_zone

MAX_ACTIONS = 20
SCRIPT_TAGS = (*templates.TEXT_TAGS, *user_data.TAGS)
LAST = ("set_available", "set_unavailable")  # what ends a list of actions


def check(provisioning: Provisioning) -> dict[str, str]:
    """Return what is wrong, by the path below `provisioning.`; empty when it can be used."""
    wrong = _limits(provisioning) | _tags(provisioning) | _windows(provisioning) | _actions(provisioning.actions)
    if provisioning.enforce and not provisioning.deletable:
        wrong["enforce"] = "Desktops of this pool may not be deleted. Initialize them as deletable, or leave this off."
    volume = provisioning.placement.volume
    if volume.type and not volume.create:
        wrong["placement.volume.type"] = "Let desktops start from a new volume, or choose no type."
    return wrong


def _limits(provisioning: Provisioning) -> dict[str, str]:
    limits = provisioning.limits
    wrong = _pair(limits, "limits.")
    timed = any(window.start_below and window.stop_at for window in provisioning.time_limits)
    builds = limits.enabled and ((limits.start_below and limits.stop_at) or timed)
    if builds and not provisioning.center_id:
        wrong["center_id"] = "Choose the center to build in, or switch building off."
    if builds and not provisioning.image:
        wrong["image"] = "Choose the image to build from, or switch building off."
    return wrong


def _pair(limits: ProvisionLimits | TimeLimit, path: str) -> dict[str, str]:
    if limits.start_below <= limits.stop_at:
        return {}
    least = limits.start_below
    return {
        f"{path}stop_at": f"Give at least {least}: the pool can never have that many unassigned desktops otherwise."
    }


def _tags(provisioning: Provisioning) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for field, strange, known in (
        ("name_template", unknown(provisioning.name_template, templates.NAME_TAGS), templates.NAME_TAGS),
        (
            "display_name_template",
            unknown(provisioning.display_name_template, templates.DISPLAY_TAGS),
            templates.DISPLAY_TAGS,
        ),
        ("user_data", templates.unknown_in_script(provisioning.user_data, SCRIPT_TAGS), SCRIPT_TAGS),
    ):
        if strange:
            wrong[field] = f"There is no tag {strange[0]}. Use {templates.shown(known)}."
    found = templates.metadata_errors(provisioning.placement.metadata)
    return wrong | ({"placement.metadata": " ".join(found.values())} if found else {})


def _windows(provisioning: Provisioning) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if provisioning.time_zone and not is_zone(provisioning.time_zone):
        wrong["time_zone"] = "There is no such time zone. Give one such as Europe/Berlin, or none for the tenant's."
    if len(provisioning.time_limits) > MAX_WINDOWS:
        wrong["time_limits"] = f"Give at most {MAX_WINDOWS} windows."
    for number, window in enumerate(provisioning.time_limits[:MAX_WINDOWS]):
        wrong |= {f"time_limits.{number}.{field}": text for field, text in _window(window).items()}
    return wrong


def _window(window: TimeLimit) -> Mapping[str, str]:
    wrong = _pair(window, "")
    for field, text in (("start", window.start), ("stop", window.stop)):
        if clock(text) is None:
            wrong[field] = "Give a time such as 08:30, from 00:00 to 24:00."
    if not window.weekdays:
        wrong["weekdays"] = "Choose at least one day."
    elif not all(0 <= day <= 6 for day in window.weekdays):
        wrong["weekdays"] = "Days are numbers from 0, Monday, to 6, Sunday."
    for field, number in (("start_below", window.start_below), ("stop_at", window.stop_at)):
        if number < 0:
            wrong[field] = "Give a number of at least 0."
    return wrong


def _actions(actions: tuple[BuildAction, ...]) -> dict[str, str]:
    if len(actions) > MAX_ACTIONS:
        return {"actions": f"Give at most {MAX_ACTIONS} actions."}
    last = len(actions) - 1
    early = [number for number, one in enumerate(actions) if one.action in LAST and number != last]
    return {f"actions.{number}.action": "Put this last: after it, the desktop is done." for number in early}
