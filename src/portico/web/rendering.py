"""Pages from templates: translated, escaped, in the viewer's language and zone. A fragment is a block of its page."""

import contextvars
import gettext
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

from babel.dates import format_timedelta
from babel.numbers import format_decimal
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from portico.domain import access, explain
from portico.domain.model import Reason
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.web import i18n, words

_TRANSLATIONS: contextvars.ContextVar[gettext.NullTranslations] = contextvars.ContextVar("translations")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page is made of: its template, and the block to send alone when htmx asks for it by `?fragment=`."""

    template: str
    fragments: tuple[str, ...] = ()


def N_(message: str) -> str:
    """Mark a text for translation; the template translates it when it is shown."""
    return message


def broker_of(request: Request) -> Broker:
    """Return the broker that this application was built around."""
    return cast(Broker, request.app.state.broker)


def page(
    request: Request, what: Page | str, me: SignedIn | None = None, status: int = 200, **context: Any
) -> HTMLResponse:
    """Render a page, or only the block of it that the request names as `fragment` and the page allows."""
    what = Page(what) if isinstance(what, str) else what
    preferences: Mapping[str, str] = me.preferences if me else {}
    language = speak(request, me)
    variables = {
        "request": request,
        "me": me,
        "csrf": me.csrf if me else "",
        "language": language,
        "zone": preferences.get("zone", ""),
        "theme": preferences.get("theme", ""),
        "now": broker_of(request).now(),
        "is_administrator": bool(me and access.is_administrator(me.actor)),
        "may": _may(me),
        **context,
    }
    template = environment().get_template(what.template)
    fragment = request.query_params.get("fragment", "")
    if fragment and fragment in what.fragments:
        body = "".join(template.blocks[fragment](template.new_context(variables)))
    else:
        body = template.render(variables)
    headers = {"Cache-Control": "no-store", "Vary": "Cookie, Accept-Language", "Content-Language": language}
    return HTMLResponse(body, status, headers=headers)


def speak(request: Request, me: SignedIn | None) -> str:
    """Choose the language of what follows in this request, and return it."""
    chosen = me.preferences.get("language", "") if me else ""
    language = i18n.negotiate(request.headers.get("accept-language", ""), chosen)
    _TRANSLATIONS.set(i18n.translator(language))
    return language


@cache
def environment() -> Environment:
    """Return the one Jinja environment of all pages."""
    made = Environment(
        loader=PackageLoader("portico.web"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: _TRANSLATIONS.get().gettext(text),
        lambda one, many, number: _TRANSLATIONS.get().ngettext(one, many, number),
        newstyle=True,
    )
    made.filters.update(
        ago=_ago, moment=_moment, reason=_reason, remedy=_remedy, as_reason=as_reason, instant=as_time, seconds=_seconds
    )
    made.globals.update(icon=icon, state_of=words.state_of, timer_word=words.timer_word, languages=i18n.languages)
    return made


def translate(message: str) -> str:
    """Return a text in the language of the page that is being made."""
    return _TRANSLATIONS.get(i18n.translator(i18n.SOURCE_LANGUAGE)).gettext(message)


def icon(name: str) -> Markup:
    """Return an icon that is decoration: the words beside it say the same."""
    return Markup(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="/static/vendor/icons.svg#{}"/></svg>'
    ).format(name)


def as_reason(value: Reason | Mapping[str, Any] | str | None) -> Reason | None:
    """Return a reason from what services and the REST shape give: a record, its JSON, or only a code."""
    if value is None or value == "":
        return None
    if isinstance(value, Reason):
        return value
    return Reason(value) if isinstance(value, str) else explain.from_json(value)


def reason_text(value: Reason | Mapping[str, Any] | str | None, to_administrator: bool = False) -> str:
    """Return the sentence of a reason, translated and filled in; an administrator is told of others, not of "you"."""
    found = as_reason(value)
    if found is None:
        return ""
    message, filling = explain.sentence(found)
    if to_administrator:
        message = words.TO_ADMINISTRATORS.get(found.code, message)
    return _filled(message, filling)


def as_time(value: datetime | str | None) -> datetime | None:
    """Return an aware moment from a record or from the REST shape (ISO 8601); None when there is none."""
    if not value:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _remedy(value: Reason | Mapping[str, Any] | str | None) -> str:
    found = as_reason(value)
    message = explain.remedy(found.code) if found else ""
    return _filled(message, explain.sentence(found)[1]) if found and message else ""


@pass_context
def _reason(context: Context, value: Reason | Mapping[str, Any] | str | None) -> str:
    return reason_text(value, bool(context.get("to_administrator")))


def _filled(message: str, params: Mapping[str, object]) -> str:
    return translate(message) % params


@pass_context
def _ago(context: Context, value: datetime | str | None) -> Markup:
    moment = as_time(value)
    if moment is None:
        return Markup("—")
    language, zone = context["language"], context["zone"]
    span = format_timedelta(moment - context["now"], add_direction=True, locale=i18n.locale_of(language))
    return _time_element(moment, "relative", span, f"{i18n.format_time(moment, zone, language)} {zone or 'UTC'}")


@pass_context
def _seconds(context: Context, value: float) -> str:
    """Write a short length of time: "1.4 s", "2 min"."""
    if value >= 90:
        return format_timedelta(timedelta(seconds=value), format="short", locale=i18n.locale_of(context["language"]))
    return f"{format_decimal(round(value, 1), locale=i18n.locale_of(context['language']))} s"


@pass_context
def _moment(context: Context, value: datetime | str | None) -> Markup:
    moment = as_time(value)
    if moment is None:
        return Markup("—")
    exact = i18n.format_time(moment, context["zone"], context["language"])
    return _time_element(moment, "exact", exact, f"{exact} {context['zone'] or 'UTC'}")


def _time_element(moment: datetime, kind: str, text: str, title: str) -> Markup:
    return Markup('<time datetime="{}" title="{}" data-time="{}">{}</time>').format(
        moment.astimezone(UTC).isoformat(), title, kind, text
    )


def _may(me: SignedIn | None) -> Any:
    def may(area: str, level: str = "view") -> bool:
        return bool(me and access.may(me.actor, area, access.Level(level)))

    return may
