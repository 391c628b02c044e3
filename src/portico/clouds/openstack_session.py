"""Talking to OpenStack: one keystoneauth session per center's settings, and plain JSON through it.

Tokens and connections are kept for the life of the process, for a driver object lives for one call only. Every wait is
bounded, every answer's request id is logged, every trouble leaves as an error of portico.errors.
"""

import hashlib
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, cast

import requests
from keystoneauth1 import exceptions
from keystoneauth1.session import Session

from portico import logs
from portico.clouds import openstack_auth, openstack_versions
from portico.clouds.openstack_clouds_yaml import effective
from portico.clouds.openstack_errors import Answer, error_of, retry_after
from portico.clouds.openstack_rights import Memory
from portico.clouds.openstack_settings import OpenStackSettings
from portico.egress import CONNECT_SECONDS, Reach, http_session
from portico.errors import CloudError, CloudRefused, Invalid

CREATE_SECONDS = 120.0  # for calls that make something; Nova and Neutron may queue them for long
_TRIES = 4
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between tries
_TRY_UNTIL = 90.0  # seconds after which a call is not begun again
_REPEATABLE = frozenset({"GET", "HEAD", "DELETE"})
_WORTH_REPEATING = frozenset({409, 429, 500, 502, 503, 504})
_DID_NOT_ACT = frozenset({429, 503})  # the service, or what stands before it, turned the call away unread
_REFUSED_SECONDS = 20.0  # after a refused log-in Keystone is left alone, or it may lock the user out
_KEPT = 64  # sessions in memory

log = logs.get(__name__)
Wait = Callable[[float], object]


class Api:
    """One project of one cloud. Safe to use from several threads."""

    def __init__(
        self,
        settings: OpenStackSettings,
        egress_allow: tuple[str, ...] = (),
        wait: Wait = threading.Event().wait,
    ) -> None:
        """Prepare; nothing is sent before the first call. Raises Invalid for settings that cannot be used."""
        self.settings = effective(settings)
        self.memory = Memory()
        self._wait = wait
        self._http = http_session(Reach(egress_allow, field="auth_url"), self.settings.ca_certificates)
        self._session: Session | None = None
        self._lock = threading.Lock()
        self._versions: dict[str, openstack_versions.Service] = {}
        self._refused: tuple[float, CloudError] | None = None

    @property
    def project_id(self) -> str:
        """The id of the project, as Keystone's token says it. Raises CloudError."""
        return str(self._guarded("project", lambda session: session.get_project_id()) or "")

    def projects(self) -> list[str]:
        """Name the projects that the center's user may work in, logging in without one. Raises CloudError."""

        def ask(session: Session) -> list[str]:
            url = openstack_auth.find_keystone(self._http, self.settings.auth_url)
            auth = openstack_auth.plugin(self.settings, url, scoped=False)
            bare = Session(auth=auth, session=self._http, redirect=False)
            return [str(one["name"]) for one in bare.get(f"{url}/auth/projects").json()["projects"]]

        with self._lock:
            self._refused = None
        return cast("list[str]", self._guarded("projects", ask))

    @property
    def access(self) -> Any:
        """What Keystone's token says: catalogue, roles, user, project (keystoneauth1.access). Raises CloudError."""
        return self._guarded("log in", lambda session: session.auth.get_access(session))  # type: ignore[union-attr]

    def get(self, service: str, path: str, **more: Any) -> Any:
        """GET a path of a service ("compute", "image", "network", "volume" …); returns the JSON. Raises CloudError."""
        return self.send("GET", service, path, **more).body

    def post(self, service: str, path: str, json: Any = None, **more: Any) -> Any:
        """POST; begun again only with `again=True`, and then only where the service surely did not act. Raises CloudError."""
        return self.send("POST", service, path, json=json, **{"timeout": CREATE_SECONDS} | more).body

    def put(self, service: str, path: str, json: Any = None, **more: Any) -> Any:
        """PUT; see post."""
        return self.send("PUT", service, path, json=json, **more).body

    def patch(self, service: str, path: str, json: Any = None, **more: Any) -> Any:
        """PATCH; see post."""
        return self.send("PATCH", service, path, json=json, **more).body

    def delete(self, service: str, path: str, **more: Any) -> None:
        """DELETE. Raises CloudNotFound, CloudError."""
        self.send("DELETE", service, path, **more)

    def action(self, service: str, path: str, json: Mapping[str, Any], **more: Any) -> Any:
        """POST an action, such as {"os-stop": None}, of the thing at the path. Raises CloudError."""
        return self.post(service, f"{path}/action", json, **more)

    def pages(
        self, service: str, path: str, key: str, params: Mapping[str, Any] | None = None, **more: Any
    ) -> Iterator[dict[str, Any]]:
        """List all things under `key`, page by page by marker, whatever page size the cloud really gives. Raises CloudError.

        A page that holds only what was listed already ends the list, so that a cloud that ignores markers does not loop it.
        """
        query = {"limit": self.settings.page_size} | dict(params or {})
        seen: set[str] = set()
        while True:
            body = self.get(service, path, params=query, **more)
            page = body.get(key, [])
            fresh = [one for one in page if str(one.get("id")) not in seen]
            yield from fresh
            seen.update(str(one.get("id")) for one in fresh)
            more_to_come = body.get(f"{key}_links") or body.get("next") or len(page) >= query["limit"]
            if not fresh or not more_to_come:
                return
            query["marker"] = page[-1]["id"]

    def send(self, method: str, service: str, path: str, *, again: bool = False, **more: Any) -> Answer:
        """Send a call, repeating it where that is safe; returns a successful answer. Raises CloudError.

        `again` says that a call which is not idempotent may be repeated where the service surely did not act (429, 503).
        Further: json, params, headers, microversion (default: negotiated), timeout (seconds).
        """
        until = time.monotonic() + _TRY_UNTIL
        for number in range(1, _TRIES + 1):
            last = number == _TRIES or time.monotonic() > until
            try:
                answer = self.ask(method, service, path, **more)
            except CloudError as problem:
                # Once, for a connection that was closed while it rested; who is away is asked again by the next pass.
                if (
                    number > 1
                    or method not in _REPEATABLE
                    or problem.params.get("late")
                    or isinstance(problem, CloudRefused)
                ):
                    raise
                self._pause(number, None)
                continue
            if answer.is_success:
                return answer
            worth = _WORTH_REPEATING if method in _REPEATABLE else _DID_NOT_ACT if again else ()
            if method == "GET" and "params" in more:  # Neutron says so of a list when one of its things goes meanwhile.
                worth = (*worth, 404)
            if last or answer.status not in worth or (answer.retry_after or 0.0) > _LONGEST_WAIT:
                raise error_of(answer)
            self._pause(number, answer.retry_after)
        raise AssertionError  # the last try returns or raises

    def ask(self, method: str, service: str, path: str, **more: Any) -> Answer:
        """Send a call once and return what came back, success or not. Raises CloudError only when nothing came back."""
        found = self.service(service)
        headers = {
            "Accept": "application/json",
            **found.headers(more.pop("microversion", None)),
            **more.pop("headers", {}),
        }
        timeout = float(more.pop("timeout", self.settings.read_seconds))
        url = found.url + path
        begun = time.monotonic()
        response = self._guarded(
            f"{method} {url}",
            lambda session: session.request(
                url, method, raise_exc=False, headers=headers, timeout=(CONNECT_SECONDS, timeout), **more
            ),
        )
        answer = _answer(service, method, path, response)
        self.memory.learn(answer, more.get("json"))
        say = log.debug if answer.is_success else log.info
        say("cloud answered", service=service, method=method, path=path, status=answer.status,
            request_id=answer.request_id, milliseconds=round((time.monotonic() - begun) * 1000))  # fmt: skip
        return answer

    def service(self, name: str) -> openstack_versions.Service:
        """Return a service's address and versions, asked once. Raises CloudRefused when the catalogue does not have it."""
        found = self._versions.get(name)
        if found is None:
            endpoint = openstack_versions.endpoint(self.access, name, self.settings)
            found = self._guarded(
                f"versions of {name} {endpoint}", lambda session: openstack_versions.discover(session, name, endpoint)
            )
            self._versions[name] = found
        return found

    def has(self, name: str) -> bool:
        """Whether the cloud's catalogue has a service. Raises CloudError when Keystone cannot be asked."""
        access = self.access
        try:
            return bool(openstack_versions.endpoint(access, name, self.settings))
        except CloudRefused:
            return False

    def _guarded(self, where: str, act: Callable[[Session], Any]) -> Any:
        """Log in where need be, act, and let no foreign exception out."""
        with self._lock:
            if self._refused and time.monotonic() < self._refused[0]:
                raise _copy(self._refused[1])
        try:
            return act(self._open())
        except exceptions.Unauthorized as problem:
            refused = openstack_auth.trouble(problem, where)
            with self._lock:
                self._refused = (time.monotonic() + _REFUSED_SECONDS, refused)
            raise refused from problem
        except (exceptions.ClientException, requests.RequestException) as problem:
            trouble = openstack_auth.trouble(problem, where)
            log.warning("cloud did not answer", where=where, trouble=trouble.detail)
            raise trouble from problem
        except Invalid as problem:  # an address that is not to be reached: the typed one, or one out of the catalogue
            raise CloudRefused(problem.sentence, where) from problem

    def _open(self) -> Session:
        with self._lock:
            if self._session is None:
                url = openstack_auth.find_keystone(self._http, self.settings.auth_url)
                auth = openstack_auth.plugin(self.settings, url)
                self._session = Session(
                    auth=auth, session=self._http, redirect=False, timeout=self.settings.read_seconds
                )  # fmt: skip
            return self._session

    def _pause(self, number: int, asked: float | None) -> None:
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - only to keep callers apart
        self._wait(max(asked or 0.0, min(_LONGEST_WAIT, _FIRST_WAIT * 4 ** (number - 1)) * spread))


_apis: OrderedDict[str, Api] = OrderedDict()
_apis_lock = threading.Lock()


def api_for(settings: OpenStackSettings, egress_allow: tuple[str, ...] = (), state: Path | None = None) -> Api:
    """Return the process's one Api for these settings: its token and connections are shared by all calls of a center.

    `state` is the center's directory, where it keeps what it has learnt of its user's rights.
    """
    name = hashlib.sha256(repr((astuple(settings), egress_allow, state)).encode()).hexdigest()
    with _apis_lock:
        found = _apis.get(name)
        if found is None:
            found = _apis[name] = Api(settings, egress_allow)
            if state is not None:
                mine = found.settings
                who = f"{mine.auth_url} {mine.domain} {mine.project} {mine.username} {mine.application_credential_id}"
                found.memory = Memory(state / "rights.json", who)
        _apis.move_to_end(name)
        while len(_apis) > _KEPT:
            _apis.popitem(last=False)
    return found


def forget() -> None:
    """Drop all tokens and connections, as a new process would have none."""
    with _apis_lock:
        _apis.clear()


def _answer(service: str, method: str, path: str, response: requests.Response) -> Answer:
    try:
        body = response.json() if response.content else {}
        text = ""
    except ValueError:
        body, text = {}, response.text
    given = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id") or ""
    wait = retry_after(response.headers.get("Retry-After"), time.time())
    return Answer(service, method, path, response.status_code, body, text, given, wait)


def _copy(problem: CloudError) -> CloudError:
    """Return the same trouble anew: an exception that is raised twice would gather two traces."""
    return type(problem)(problem.sentence, problem.detail, problem.retry_after, **problem.params)
