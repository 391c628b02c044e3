"""Languages and times of pages: which language a person reads, its translations, and moments in the person's own zone."""

import gettext
from datetime import datetime
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale
from babel.dates import format_datetime

DOMAIN = "portico"
SOURCE_LANGUAGE = "en"
LOCALES = Path(__file__).resolve().parent.parent / "locale"


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a compiled catalogue, English first."""
    found = sorted(path.parent.parent.name for path in LOCALES.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))
    return (SOURCE_LANGUAGE, *(name for name in found if name != SOURCE_LANGUAGE))


@cache
def translator(language: str) -> gettext.NullTranslations:
    """Return the translations of a language; English, and what has no catalogue, is the source text."""
    return gettext.translation(DOMAIN, str(LOCALES), languages=[language], fallback=True)


def negotiate(accept_language: str, chosen: str = "") -> str:
    """Return the language to show: what the person chose, else what the browser asks for, else English."""
    if chosen in languages():
        return chosen
    wanted = [part.partition(";")[0].strip().replace("-", "_") for part in accept_language[:200].split(",")]
    found = Locale.negotiate([name for name in wanted if name], languages())
    return str(found) if found else SOURCE_LANGUAGE


def format_time(moment: datetime, zone: str, language: str) -> str:
    """Return a moment in full, in the zone and language of whoever reads it."""
    return str(format_datetime(moment, "medium", tzinfo=zone_of(zone), locale=Locale.parse(language)))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by name; UTC when there is no such zone."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
