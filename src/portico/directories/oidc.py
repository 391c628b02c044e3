"""OpenID Connect (Core 1.0): the code flow with PKCE, discovery, logout that either side begins."""

import base64
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from portico.egress import Reach, http_session, read_url
from portico.errors import DirectoryError, DirectoryRefused, Invalid
from portico.ports.directory import DirectoryContext, Meta
from portico.ports.sign_on import Departure, Ended, Finding, Identity, Vouched

ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "EdDSA",
]  # signatures that nobody can make but the provider
KNOWN_SECONDS = 3600.0  # how long what discovery says is kept
KEYS_SECONDS = 30.0  # how often unknown keys may make us ask again
LEEWAY_SECONDS = 60  # of its clock and ours
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
MAX_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """A provider."""

    issuer: Annotated[
        str, Meta("Issuer", "The provider's address, such as https://login.example.com/realms/staff.")
    ] = ""
    client_id: Annotated[str, Meta("Client id", "By which the provider knows Portico.")] = ""
    client_secret: Annotated[str, Meta("Client secret", secret=True)] = ""
    scopes: Annotated[str, Meta("Scopes", "Parted by spaces.", advanced=True)] = "openid profile email"
    name_claim: Annotated[str, Meta("Claim with the user name", advanced=True)] = "preferred_username"
    groups_claim: Annotated[str, Meta("Claim with the groups", advanced=True)] = "groups"
    ca_certificates: Annotated[
        str, Meta("Certificates to trust", "In PEM form; empty: those of the system.", multiline=True, advanced=True)
    ] = ""
    timeout: Annotated[int, Meta("Wait for an answer at most", unit="seconds", advanced=True)] = 10


class Oidc:
    """A provider of OpenID Connect. People are told apart by `sub`, which is never given to another (Core, section 2)."""

    kind: ClassVar[str] = "oidc"
    Settings: ClassVar[type] = OidcSettings
    by_redirect: ClassVar[bool] = True
    by_post: ClassVar[bool] = False

    def __init__(self, settings: OidcSettings, context: DirectoryContext) -> None:
        """Read the settings; nothing is asked yet. Raises Invalid naming each setting that cannot be used."""
        wrong: dict[str, str] = {}
        try:
            if read_url(settings.issuer, "issuer").scheme != "https":
                wrong["issuer"] = "Begin the address with https://."
        except Invalid as problem:
            wrong |= problem.fields
        if not settings.client_id.strip():
            wrong["client_id"] = "Give the id by which the provider knows Portico."
        if "openid" not in settings.scopes.split():
            wrong["scopes"] = "Name openid among them."
        if not 1 <= settings.timeout <= 60:
            wrong["timeout"] = "Give 1 to 60 seconds."
        if wrong:
            raise Invalid("Some settings cannot be used.", wrong)
        self._settings = settings
        self._http = http_session(Reach(context.egress_allow, field="issuer"), settings.ca_certificates)
        self._lock = threading.Lock()
        self._known: tuple[float, dict[str, Any]] = (float("-inf"), {})
        self._keys: tuple[float, KeySet | None] = (float("-inf"), None)

    def check(self) -> tuple[Finding, ...]:
        """Read the provider's description and its keys."""
        described = self._discover()
        found = [Finding("discovery", "granted", detail=str(described["issuer"]), group="network")]
        number = len(self._key_set(fresh=True).keys)
        found.append(
            Finding(
                "keys",
                "granted" if number else "missing",
                "" if number else "The provider publishes no keys.",
                "network",
                str(number),
            )
        )
        pkce = "S256" in described.get("code_challenge_methods_supported", ["S256"])
        remedy = "" if pkce else "The provider does not say that it takes PKCE with S256."
        return (*found, Finding("PKCE", "granted" if pkce else "warning", remedy, "rights"))

    def begin(self, back: str) -> Departure:
        """Write the request for a code (Core 3.1.2.1; PKCE: RFC 7636)."""
        kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(kept["verifier"].encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": self._settings.client_id, "redirect_uri": back, "scope": self._settings.scopes,
            "state": kept["state"], "nonce": kept["nonce"], "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        return Departure(_with(str(self._discover()["authorization_endpoint"]), asked), kept)

    def finish(self, back: str, kept: Mapping[str, str], answer: Mapping[str, str]) -> Vouched:
        """Check the answer, change the code for an ID token, and check that (Core 3.1.2.5 to 3.1.3.7)."""
        if not hmac.compare_digest(answer.get("state", "").encode(), kept.get("state", "\0").encode()):
            raise DirectoryRefused("This answer belongs to another log-in. Begin again.")
        described = self._discover()
        if answer.get("iss", described["issuer"]) != described["issuer"]:  # RFC 9207
            raise DirectoryRefused("Somebody else has answered than was asked. Begin again.")
        if "error" in answer or not answer.get("code"):
            raise DirectoryRefused("The provider did not log you in.", answer.get("error", "")[:100])
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": back,
            "code_verifier": kept["verifier"],
        }
        token = self._post(str(described["token_endpoint"]), form)
        claims = self._claims(str(token.get("id_token", "")), expires=True)
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), kept["nonce"].encode()):
            raise DirectoryRefused("The provider's answer is one to another question. Begin again.")
        more = self._user_info(described, str(token.get("access_token", "")), str(claims["sub"]))
        return Vouched(self._identity({**more, **claims}), str(claims.get("sid", "")))

    def leave(self, back: str, kept: Mapping[str, str]) -> str:
        """Return the provider's page that ends its session (RP-Initiated Logout 1.0)."""
        place = self._discover().get("end_session_endpoint")
        asked = {"client_id": self._settings.client_id, "post_logout_redirect_uri": back}
        return _with(str(place), asked) if place else ""

    def ended(self, here: str, told: Mapping[str, str]) -> Ended:
        """Read a logout token (Back-Channel Logout 1.0, section 2.6)."""
        claims = self._claims(told.get("logout_token", ""))
        event = claims.get("events")
        if not isinstance(event, dict) or LOGOUT_EVENT not in event or "nonce" in claims:
            raise DirectoryRefused("This is no notice of a logout.")
        if abs(time.time() - float(claims.get("iat", 0))) > LEEWAY_SECONDS * 2:
            raise DirectoryRefused("This notice is too old.")
        sid = str(claims.get("sid", ""))
        return Ended(str(claims.get("sub", "")), sessions=(sid,) if sid else ())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        settings = self._settings
        name = claims.get(settings.name_claim) or claims.get("email") or claims["sub"]
        groups = claims.get(settings.groups_claim, ())
        groups = groups if isinstance(groups, list) else [groups]
        attributes = {
            str(key).lower(): tuple(str(one) for one in (value if isinstance(value, list) else [value]))[:MAX_VALUES]
            for key, value in claims.items()
            if isinstance(value, str | int | float | bool | list)
        }
        return Identity(
            subject=str(claims["sub"]),
            login_name=str(name),
            display_name=str(claims.get("name", "") or name),
            email=str(claims.get("email", "")),
            groups=tuple(str(group) for group in groups[:MAX_VALUES]),
            attributes=attributes,
        )

    def _claims(self, token: str, *, expires: bool = False) -> dict[str, Any]:
        """Return the claims of a token that the provider has signed for us and that holds now. Raises DirectoryRefused.

        `expires`: it must say until when it holds, as ID tokens must (Core, section 2) and logout tokens need not.
        """
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._discover()["issuer"]},
            aud={"essential": True, "value": self._settings.client_id},
            exp={"essential": expires},
        )
        for fresh in (False, True):  # a key that we do not know may be a new one
            try:
                read = jwt.decode(token, self._key_set(fresh=fresh), algorithms=ALGORITHMS)
                registry.validate(read.claims)
                audience = read.claims["aud"]
                if (
                    isinstance(audience, list)
                    and len(audience) > 1
                    and read.claims.get("azp") != self._settings.client_id
                ):
                    raise DirectoryRefused("The provider's answer is for somebody else.")
                if not read.claims.get("sub") and not read.claims.get("sid"):
                    raise DirectoryRefused("The provider does not say who you are.")
                return dict(read.claims)
            except (JoseError, ValueError, KeyError, TypeError) as problem:
                trouble = problem
        raise DirectoryRefused("The provider's answer cannot be trusted.", str(trouble)[:200]) from trouble

    def _user_info(self, described: Mapping[str, Any], token: str, subject: str) -> dict[str, Any]:
        """Ask for what the ID token leaves out (Core 5.3); an answer about somebody else does not count."""
        place = described.get("userinfo_endpoint")
        if not place or not token:
            return {}
        found = self._json("GET", str(place), headers={"Authorization": f"Bearer {token}"})
        return found if found.get("sub") == subject else {}

    def _discover(self) -> dict[str, Any]:
        with self._lock:
            at, known = self._known
        if time.monotonic() - at < KNOWN_SECONDS:
            return known
        issuer = self._settings.issuer.rstrip("/")
        found = self._json("GET", f"{issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != issuer:
            raise DirectoryError(
                "The provider calls itself otherwise than the settings do.", str(found.get("issuer"))[:200]
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            try:
                if read_url(str(found.get(name, "")).partition("?")[0]).scheme != "https":
                    raise Invalid("not https")
            except Invalid as problem:
                raise DirectoryError(f"The provider's {name} cannot be used.", problem.sentence) from problem
        with self._lock:
            self._known = (time.monotonic(), found)
        return found

    def _key_set(self, *, fresh: bool = False) -> KeySet:
        with self._lock:
            at, keys = self._keys
        age = time.monotonic() - at
        if keys is not None and age < (KEYS_SECONDS if fresh else KNOWN_SECONDS):
            return keys
        found = self._json("GET", str(self._discover()["jwks_uri"]))
        try:
            keys = KeySet.import_key_set({"keys": [key for key in found.get("keys", []) if key.get("kty") != "oct"]})
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as problem:
            raise DirectoryError("The provider's keys cannot be read.", str(problem)[:200]) from problem
        with self._lock:
            self._keys = (time.monotonic(), keys)
        return keys

    def _post(self, url: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Change a code at the token endpoint, as the client that we are (Core 9)."""
        methods = self._discover().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        mine = (self._settings.client_id, self._settings.client_secret)
        if not self._settings.client_secret:
            return self._json("POST", url, data={**form, "client_id": mine[0]})
        if "client_secret_basic" in methods:
            return self._json("POST", url, data=dict(form), auth=mine)
        return self._json("POST", url, data={**form, "client_id": mine[0], "client_secret": mine[1]})

    def _json(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, url, timeout=self._settings.timeout, **more)
            found = answer.json()
        except (requests.RequestException, Invalid, ValueError) as problem:
            raise DirectoryError("The provider does not answer as it should.", str(problem)[:300]) from problem
        if not isinstance(found, dict):
            raise DirectoryError("The provider does not answer as it should.", f"{url}: no object")
        if answer.status_code >= requests.codes.bad_request:
            error = str(found.get("error", answer.status_code))[:100]
            if answer.status_code < requests.codes.server_error:
                raise DirectoryRefused("The provider refuses what we ask.", error)
            raise DirectoryError("The provider does not answer as it should.", error)
        return found


def _with(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
