"""Languages: which one a person reads, its texts, and times in their own zone."""

import gettext
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates
from jinja2 import Environment

DOMAIN = "portico"
LOCALES = Path(__file__).resolve().parent.parent / "locale"
SOURCE_LANGUAGE = "en"  # the language of the texts in the code: it needs no catalogue
HEADER_LIMIT = 512  # characters of an Accept-Language that are looked at


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """Return the languages that have a compiled catalogue, the source language first."""
    return (SOURCE_LANGUAGE, *sorted(file.parent.parent.name for file in LOCALES.glob(f"*/LC_MESSAGES/{DOMAIN}.mo")))


def language_names() -> Mapping[str, str]:
    """Return language → what it calls itself, for the menu of languages."""
    return {language: Locale.parse(language).get_display_name(language) or language for language in languages()}


@lru_cache(maxsize=64)
def translator(language: str) -> gettext.NullTranslations:
    """Return the texts of a language; those of the source language where it has none."""
    return gettext.translation(DOMAIN, LOCALES, [language], fallback=True)


def negotiate(accept_language: str = "", chosen: str = "", available: Iterable[str] | None = None) -> str:
    """Return the language for a person: their own choice, else the best of their browser's (RFC 9110 section 12.5.4)."""
    known = tuple(available if available is not None else languages())
    if chosen in known:
        return chosen
    for wanted in _by_preference(accept_language[:HEADER_LIMIT]):
        # "de-AT" is served by "de", the more exact one first (RFC 4647 section 3.4, lookup).
        parts = wanted.split("-")
        for length in range(len(parts), 0, -1):
            candidate = "-".join(parts[:length])
            match = next((language for language in known if language.replace("_", "-").casefold() == candidate), None)
            if match:
                return match
    return SOURCE_LANGUAGE


def install(environment: Environment, current: Callable[[], gettext.NullTranslations]) -> None:
    """Let templates translate: `_()`, `gettext`, `ngettext` and `{% trans %}`, in the language that `current` tells at the time."""
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        gettext=lambda text: current().gettext(text),
        ngettext=lambda one, many, count: current().ngettext(one, many, count),
        pgettext=lambda context, text: current().pgettext(context, text),
        npgettext=lambda context, one, many, count: current().npgettext(context, one, many, count),
        newstyle=True,
    )
    environment.policies["ext.i18n.trimmed"] = True


def format_time(moment: datetime, zone: str = "UTC", language: str = SOURCE_LANGUAGE, style: str = "medium") -> str:
    """Write a time as people of this language do, in the zone of the reader."""
    return dates.format_datetime(moment, style, tzinfo=zone_of(zone), locale=locale_of(language))


def format_date(moment: datetime, zone: str = "UTC", language: str = SOURCE_LANGUAGE, style: str = "medium") -> str:
    """Write the day of a time, in the zone of the reader."""
    return dates.format_date(moment.astimezone(zone_of(zone)).date(), style, locale=locale_of(language))


def format_relative(moment: datetime, now: datetime, language: str = SOURCE_LANGUAGE) -> str:
    """Write how long ago (or ahead) a time is: "3 minutes ago"."""
    return dates.format_timedelta(moment - now, add_direction=True, threshold=0.95, locale=locale_of(language))


def format_span(seconds: float, language: str = SOURCE_LANGUAGE) -> str:
    """Write a length of time: "3 minutes"."""
    return dates.format_timedelta(timedelta(seconds=seconds), threshold=0.95, locale=locale_of(language))


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name, UTC where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # unknown, or not a name of a zone at all
        return UTC


def _by_preference(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, the best first; whatever is not one is passed over."""
    weighed: list[tuple[float, int, str]] = []
    for position, part in enumerate(header.split(",")):
        name, _, parameter = part.partition(";")
        name = name.strip().casefold()
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        if 0 < weight <= 1 and name.replace("-", "").isalnum() and name.isascii():
            weighed.append((-weight, position, name))
    return [name for _, _, name in sorted(weighed)]


@lru_cache(maxsize=64)
def locale_of(language: str) -> Locale:
    """Return how a language writes times and numbers; that of the source language where it is not known."""
    try:
        return Locale.parse(language, sep="-" if "-" in language else "_")
    except (UnknownLocaleError, ValueError):
        return Locale.parse(SOURCE_LANGUAGE)
