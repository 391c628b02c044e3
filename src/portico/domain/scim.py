"""SCIM 2.0 (RFC 7643, RFC 7644): resources as they are sent and kept, filters, and changes by PATCH. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MAX_TEXT = 200
MAX_OPERATIONS = 1000
# What is kept of a user besides the name, as rules know it: SCIM's path → attribute.
TEXTS: Mapping[str, str] = {
    "displayname": "display_name", "externalid": "external_id", "title": "title", "name.formatted": "formatted",
    "name.givenname": "given_name", "name.familyname": "family_name", "usertype": "user_type",
    f"{ENTERPRISE.lower()}:department": "department",
}  # fmt: skip
_FILTER = re.compile(r'\s*([\w.:]+)\s+eq\s+"((?:[^"\\]|\\.)*)"\s*', re.IGNORECASE)
_MEMBER = re.compile(r'\s*members\[\s*value\s+eq\s+"([^"\\]*)"\s*\]\s*', re.IGNORECASE)
_EMAIL = re.compile(r"\s*emails(?:\[.{0,100}\])?(?:\.value)?\s*", re.IGNORECASE)


class BadValue(ValueError):
    """What was sent cannot be used; `kind` is SCIM's word for why (RFC 7644, section 3.12)."""

    def __init__(self, sentence: str, kind: str = "invalidValue") -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class ScimUser:
    """Somebody who was provisioned: whether they may log in, and what rules may ask about them."""

    user_name: str
    active: bool = True
    email: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)


def read_user(sent: Mapping[str, Any]) -> ScimUser:
    """Read a whole user. Raises BadValue."""
    found = ScimUser(_text(sent.get("userName"), "userName"))
    if not found.user_name.strip():
        raise BadValue("userName is missing.")
    return merge(found, {key: value for key, value in sent.items() if key.lower() != "username"})


def merge(user: ScimUser, sent: Mapping[str, Any]) -> ScimUser:
    """Lay attributes over a user; what we keep nothing of is passed over. Raises BadValue."""
    for key, value in _flat(sent):
        user = put(user, key, value)
    return user


def put(user: ScimUser, path: str, value: Any) -> ScimUser:
    """Set what stands at a path; None takes it away. Raises BadValue."""
    name = path.strip().lower().removeprefix(f"{USER.lower()}:")
    if name == "active":
        return replace(user, active=_flag(value))
    if name == "username":
        if not _text(value, path).strip():
            raise BadValue("userName is missing.")
        return replace(user, user_name=_text(value, path))
    if _EMAIL.fullmatch(name):
        return replace(user, email=_email(value))
    if name in TEXTS:
        texts = dict(user.texts)
        texts[TEXTS[name]] = "" if value is None else _text(value, path)
        return replace(user, texts={key: text for key, text in texts.items() if text})
    return user


def patch_user(user: ScimUser, sent: Mapping[str, Any]) -> ScimUser:
    """Apply a PATCH (RFC 7644, section 3.5.2). Raises BadValue."""
    for operation, path, value in operations(sent):
        if operation == "remove":
            if not path:
                raise BadValue("remove needs a path.", "noTarget")
            if path.strip().lower() in ("active", "username"):
                raise BadValue(f"{path} cannot be removed.", "mutability")
            user = put(user, path, None)
        elif path:
            user = put(user, path, value)
        elif isinstance(value, Mapping):
            user = merge(user, value)
        else:
            raise BadValue("An operation without a path needs an object.")
    return user


def patch_members(name: str, members: frozenset[str], sent: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """Apply a PATCH to a group; returns its name and its members' ids. Raises BadValue."""
    for operation, path, value in operations(sent):
        one = _MEMBER.fullmatch(path)
        if one:
            members = members - {one[1]} if operation == "remove" else members | {one[1]}
        elif path.strip().lower() == "members":
            ids = member_ids(value) if value is not None else members
            members = {"add": members | ids, "remove": members - ids, "replace": ids}[operation]
        elif path.strip().lower() == "displayname" and operation != "remove":
            name = _text(value, "displayName")
        elif not path and isinstance(value, Mapping):
            name = _text(value.get("displayName", name), "displayName")
            if "members" in value:
                ids = member_ids(value["members"])
                members = ids if operation == "replace" else members | ids
    if not name.strip():
        raise BadValue("displayName is missing.")
    return name, members


def operations(sent: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Return a PATCH's operations: (add | remove | replace, path, value). Raises BadValue."""
    listed = sent.get("Operations") or sent.get("operations")
    if not isinstance(listed, list) or not listed or len(listed) > MAX_OPERATIONS:
        raise BadValue(f"Give 1 to {MAX_OPERATIONS} operations.", "invalidSyntax")
    found = []
    for one in listed:
        name = str(one.get("op", "")).lower() if isinstance(one, Mapping) else ""
        if name not in ("add", "remove", "replace"):
            raise BadValue("An operation is add, remove or replace.", "invalidSyntax")
        path = one.get("path") or ""
        if not isinstance(path, str) or len(path) > MAX_TEXT:
            raise BadValue("A path is a text.", "invalidPath")
        found.append((name, path, one.get("value")))
    return found


def member_ids(sent: Any) -> frozenset[str]:
    """Read the ids of members. Raises BadValue."""
    listed: Sequence[Any] = sent if isinstance(sent, list) else [sent]
    ids = [one.get("value") if isinstance(one, Mapping) else one for one in listed]
    if any(not isinstance(id, str) or len(id) > MAX_TEXT for id in ids):
        raise BadValue("A member is an object with the id as its value.")
    return frozenset(str(id) for id in ids)


def read_filter(text: str, known: Mapping[str, str]) -> tuple[str, str] | None:
    """Read `attribute eq "value"`; returns (what `known` calls the attribute, value). None for no filter, raises BadValue for any other."""
    if not text.strip():
        return None
    found = _FILTER.fullmatch(text) if len(text) <= 2 * MAX_TEXT else None
    name = known.get(found[1].lower().removeprefix(f"{USER.lower()}:")) if found else None
    if found is None or name is None:
        raise BadValue(
            f'Only filters like {next(iter(known))} eq "…" are taken, of: {", ".join(known)}.', "invalidFilter"
        )
    return name, re.sub(r"\\(.)", r"\1", found[2])


def _flat(sent: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in sent.items():
        if key.lower() == ENTERPRISE.lower() and isinstance(value, Mapping):
            found += [(f"{ENTERPRISE}:{name}", inner) for name, inner in value.items()]
        elif key.lower() == "name" and isinstance(value, Mapping):
            found += [(f"name.{name}", inner) for name, inner in value.items()]
        else:
            found.append((key, value))
    return found


def _text(value: Any, name: str) -> str:
    good = isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value
    if not good or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadValue(f"{name} is a text of at most {MAX_TEXT} characters.")
    return str(value)


def _flag(value: Any) -> bool:
    """Read a flag; some send it as a text."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise BadValue("active is true or false.")
    return value


def _email(value: Any) -> str:
    """Return the primary address of a list, or the first one."""
    if value is None or value == []:
        return ""
    listed = value if isinstance(value, list) else [value]
    chosen = next((one for one in listed if isinstance(one, Mapping) and one.get("primary") is True), listed[0])
    return _text(chosen.get("value") if isinstance(chosen, Mapping) else chosen, "emails")
