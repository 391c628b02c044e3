"""SAML 2.0: log-in by the web browser profile, requests by HTTP-Redirect, answers by HTTP-POST; log-out that either side begins."""

import datetime
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import requests

from portico.directories import saml_answer, saml_keys, saml_messages, saml_metadata
from portico.directories.saml_answer import Answer, Asked
from portico.directories.saml_metadata import Provider
from portico.directories.saml_settings import (
    EMAILS,
    FORMATS,
    FULL_NAMES,
    GROUPS,
    NAMES,
    TRANSIENT,
    SamlSettings,
)
from portico.directories.saml_settings import check as check_settings
from portico.egress import Reach, http_session
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext
from portico.ports.sign_on import Departure, Ended, Finding, Identity, Vouched

KNOWN_SECONDS = 3600.0  # how long metadata count as new
STALE_SECONDS = 86_400.0  # how long they serve when their address does not answer
AGAIN_SECONDS = 30.0  # how often a signature that we cannot verify may make us ask again
SOON = datetime.timedelta(days=30)
REMEDIES = {
    "names": "The provider does not say that it has such names. Choose another one, or set it up there.",
    "log-out": "The provider has no address for log-outs by HTTP-Redirect: logging out here leaves its session.",
    "ours": "Give the provider our metadata.",
    "expired": "It has expired; log-ins go on, but it ought to be changed.",
    "soon": "It expires soon.",
}
LONGEST = 200  # characters of what is kept of a name


class Saml:
    """A provider of SAML 2.0. People are told apart by their NameID, or by an attribute that never changes."""

    kind: ClassVar[str] = "saml"
    Settings: ClassVar[type] = SamlSettings
    by_redirect: ClassVar[bool] = True
    by_post: ClassVar[bool] = True

    def __init__(
        self, settings: SamlSettings, context: DirectoryContext, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the settings; nothing is asked yet. Raises Invalid naming each setting that cannot be used."""
        if wrong := check_settings(settings):
            raise Invalid("Some settings cannot be used.", wrong)
        self._settings = settings
        self._entity_id, self._clock = context.own_url, clock
        self._pair = saml_keys.read_pair(settings.key_pair) if settings.key_pair.strip() else None
        reach = Reach(context.egress_allow, field="metadata_url")
        self._http = http_session(reach, settings.ca_certificates, most=saml_metadata.MAX_BYTES)
        self._lock = threading.Lock()
        self._known: Provider | None = None
        self._read_at, self._tried_at = float("-inf"), float("-inf")
        if not settings.metadata_url.strip():
            try:
                self._read_settings()
            except DirectoryError as problem:
                field = "metadata" if settings.metadata.strip() else "certificates"
                raise Invalid("Some settings cannot be used.", {field: problem.sentence}, problem.detail) from problem

    @staticmethod
    def make_own() -> dict[str, str]:
        """Return the secrets that nobody has to type: our key with its certificate."""
        return {"key_pair": saml_keys.make_pair()}

    def check(self) -> tuple[Finding, ...]:
        """Read the provider's metadata, and look at what a log-in takes of them."""
        known = self._provider(fresh=True)
        now = datetime.datetime.now(datetime.UTC)
        found = [Finding("metadata", "granted", detail=known.entity_id, group="network")]
        found += [_certificate("certificate", one.not_valid_after_utc, now) for one in known.certificates]
        if self._pair is not None:
            found.append(_certificate("our certificate", self._pair.certificate.not_valid_after_utc, now))
        wanted = FORMATS[self._settings.name_id_format]
        if known.formats and wanted not in known.formats and not wanted.endswith("unspecified"):
            found.append(Finding("names", "warning", REMEDIES["names"], detail=", ".join(known.formats)[:300]))
        slo = ("granted", "") if known.slo_url else ("warning", REMEDIES["log-out"])
        found.append(Finding("log-out", *slo, group="network"))
        # Whether it knows us shows at the first log-in.
        return (*found, Finding("our metadata", "unknown", REMEDIES["ours"], "rights", self._entity_id))

    def begin(self, back: str) -> Departure:
        """Write the request for a log-in (Core, section 3.4.1)."""
        known, settings = self._provider(), self._settings
        kept = {"request": saml_messages.new_id()}
        message = saml_messages.authn_request(
            kept["request"], self._entity_id, known, back, FORMATS[settings.name_id_format]
        )
        pair = self._own() if settings.sign_requests or known.wants_signed else None
        return Departure(saml_messages.address(known.sso_url, "SAMLRequest", message, "", pair), kept)

    def finish(self, back: str, kept: Mapping[str, str], answer: Mapping[str, str]) -> Vouched:
        """Check the answer (Profiles, section 4.1.4.3); the provider's keys are read anew once where they do not fit."""
        text, request = answer.get("SAMLResponse", ""), kept.get("request", "")
        known = self._provider()
        try:
            told = saml_answer.read(text, Asked(request, back, self._entity_id, known, self._own()))
        except DirectoryRefused:
            fresh = self._provider(again=True)
            if fresh.pems == known.pems:
                raise
            told = saml_answer.read(text, Asked(request, back, self._entity_id, fresh, self._own()))
        identity = self._identity(told)
        kept_name = {**told.name_id.kept(), "session": told.session}
        return Vouched(
            identity, _fitted(told.session), _fitted(told.name_id.text), kept_name, told.assertion_id,
            told.until.timestamp(), told.ends.timestamp() if told.ends else None,
        )  # fmt: skip

    def leave(self, back: str, kept: Mapping[str, str]) -> str:
        """Write the notice that somebody has logged out here (Profiles, section 4.4)."""
        known = self._provider()
        if not known.slo_url or not kept.get("name"):
            return ""
        name_id = saml_messages.from_kept(kept)
        message = saml_messages.logout_request(self._entity_id, known, name_id, kept.get("session", ""))
        return saml_messages.address(known.slo_url, "SAMLRequest", message, "", self._own())

    def ended(self, here: str, told: Mapping[str, str]) -> Ended:
        """Read a notice that somebody has logged out there, and write the answer (Core, section 3.7)."""
        known = self._provider()
        try:
            notice = saml_messages.read_notice(here, told, known)
        except DirectoryRefused:
            fresh = self._provider(again=True)
            if fresh.pems == known.pems:
                raise
            notice, known = saml_messages.read_notice(here, told, fresh), fresh
        answer = ""
        if known.slo_answer_url:
            message = saml_messages.logout_response(self._entity_id, known, notice.id)
            answer = saml_messages.address(
                known.slo_answer_url, "SAMLResponse", message, notice.relay_state, self._own()
            )
        sessions = tuple(_fitted(one) for one in notice.indexes)
        return Ended(name=_fitted(notice.name_id.text), sessions=sessions, answer=answer)

    def is_unasked(self, answer: Mapping[str, str]) -> bool:
        """Tell whether an answer is one to no request at all: somebody began at the provider's own page."""
        return saml_answer.is_unasked(answer.get("SAMLResponse", ""))

    def describe_us(self, takes: Sequence[str], logouts: Sequence[str]) -> bytes:
        """Write our metadata, for the provider's administrator."""
        return saml_metadata.own(self._settings, self._entity_id, self._own(), takes, logouts)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _own(self) -> saml_keys.Pair:
        if self._pair is None:
            raise DirectoryError("There is no key of ours. Paste one in the directory's settings.")
        return self._pair

    def _identity(self, told: Answer) -> Identity:
        settings, attributes = self._settings, told.attributes
        by_name = "" if told.name_id.format == TRANSIENT else told.name_id.text
        if settings.subject_attribute:
            subject = _first(attributes, (settings.subject_attribute,))
            if not subject:
                raise DirectoryRefused(
                    "The provider does not say who you are.", f"no {settings.subject_attribute[:100]}"
                )
        elif not by_name:
            raise DirectoryRefused(
                "The provider gives you another name at each log-in. Let it send a persistent one, or name an attribute that tells people apart."
            )
        else:
            subject = by_name
        email = _first(attributes, _either(settings.email_attribute, EMAILS))
        name = _first(attributes, _either(settings.name_attribute, NAMES)) or email or by_name or subject
        groups = next((attributes[one] for one in _either(settings.groups_attribute, GROUPS) if one in attributes), ())
        return Identity(
            subject=_fitted(subject),
            login_name=name,
            display_name=_first(attributes, _either(settings.display_name_attribute, FULL_NAMES)) or name,
            email=email,
            groups=groups,
            attributes={key.lower(): values for key, values in attributes.items()},
        )

    def _read_settings(self) -> Provider:
        if self._settings.metadata.strip():
            return saml_metadata.read(self._settings.metadata.strip().encode(), self._settings.entity_id.strip())
        return saml_metadata.by_parts(self._settings)

    def _provider(self, *, fresh: bool = False, again: bool = False) -> Provider:
        """Return the provider as its metadata are, read anew when they are old, always (`fresh`), or after a while (`again`)."""
        by_url, now = bool(self._settings.metadata_url.strip()), self._clock()
        with self._lock:
            known, age = self._known, now - self._read_at
            due = fresh or known is None or (by_url and (again or age > KNOWN_SECONDS))
            if known is not None and not fresh:
                due = due and now - self._tried_at > AGAIN_SECONDS
            if due:
                self._tried_at = now
        if known is not None and not due:
            return known
        try:
            found = self._read() if by_url else self._read_settings()
        except DirectoryError:
            if known is None or fresh or age > STALE_SECONDS:
                raise
            return known
        with self._lock:
            self._known, self._read_at = found, now
        return found

    def _read(self) -> Provider:
        url = self._settings.metadata_url.strip()
        try:
            answer = self._http.get(url, timeout=self._settings.timeout)
        except (requests.RequestException, Invalid) as problem:
            raise DirectoryError("The provider's metadata cannot be had.", str(problem)[:300]) from problem
        if answer.status_code != requests.codes.ok:
            raise DirectoryError("The provider's metadata cannot be had.", f"HTTP {answer.status_code}")
        found = saml_metadata.read(answer.content, self._settings.entity_id.strip())
        if found.valid_until is not None and found.valid_until <= datetime.datetime.now(datetime.UTC):
            raise DirectoryError("The provider's metadata have expired.", found.valid_until.isoformat())
        return found


def _certificate(name: str, until: datetime.datetime, now: datetime.datetime) -> Finding:
    if until > now + SOON:
        return Finding(name, "granted", group="rights", detail=f"until {until:%Y-%m-%d}")
    return Finding(
        name, "warning", REMEDIES["expired" if until <= now else "soon"], "rights", f"until {until:%Y-%m-%d}"
    )


def _either(own: str, usual: tuple[str, ...]) -> tuple[str, ...]:
    return (own.strip(),) if own.strip() else usual


def _first(attributes: Mapping[str, tuple[str, ...]], names: tuple[str, ...]) -> str:
    return next((attributes[name][0] for name in names if name in attributes), "")


def _fitted(text: str) -> str:
    """Return a name in the length that is kept: a longer one is told apart by its hash, never by its beginning."""
    return text if len(text) <= LONGEST else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
