"""Directories: which are asked about a typed name, and by which rule a person gets their role and policy. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from portico.domain import rules
from portico.domain.model import Reason, Rule

MAX_RULES = 500
LOCAL = "local"  # the directory of users who are kept here


class Standing(StrEnum):
    """How a person stands with their directory. All but `ok`, `unknown` and `wrong` are told only after the right password."""

    OK = "ok"
    UNKNOWN = "unknown"  # nobody has this name
    WRONG = "wrong"  # the password
    LOCKED = "locked"  # too many tries, there
    DISABLED = "disabled"
    EXPIRED = "expired"  # the password
    MUST_CHANGE = "must_change"
    ACCOUNT_EXPIRED = "account_expired"
    HOURS = "hours"  # not at this time
    WORKSTATION = "workstation"  # not from here
    SECOND_FACTOR = "second_factor"  # the directory wants one of its own, which is not asked for here


CHANGE_FIRST = frozenset({Standing.EXPIRED, Standing.MUST_CHANGE})


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, as their directory knows them. `subject` stays the same when they are renamed, and is never given to another."""

    subject: str
    login_name: str
    display_name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()  # names of groups, those that hold groups of theirs included
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lower-case name → texts


@dataclass(frozen=True, slots=True)
class AssignmentRule:
    """One line of a directory's rules: who meets the condition and comes from the location gets the role and the policy."""

    attribute: str = "group"  # "group", or what the directory calls it; empty: everybody
    operator: str = "eq"
    text: str = ""
    location_id: str | None = None  # None: from anywhere
    role_id: str | None = None  # None: the directory's default one
    policy_id: str | None = None


@dataclass(frozen=True, slots=True)
class DirectoryRecord:
    """A directory as an administrator configures it, without what only its driver knows."""

    id: str
    tenant_id: str
    name: str
    kind: str = ""
    domains: tuple[str, ...] = ()  # by which its people name it: corp.example, CORP
    position: int = 100  # lower ones are asked first
    active: bool = True
    ask_bare_names: bool = True  # whether it is asked about names without a domain
    connections: int = 8  # how many log-ins it answers at a time
    rules: tuple[AssignmentRule, ...] = ()
    default_role_id: str | None = None  # None: who meets no rule is refused
    default_policy_id: str | None = None
    provisioned: bool = False  # by SCIM: only who was may come in, and groups come from there too
    when_disabled: str = (
        "keep"  # keep | lock | log_out: what becomes of the sessions of somebody who may not log in any more
    )
    settings: Mapping[str, Any] = field(default_factory=dict)  # the driver's own, without its secrets
    version: int = 1

    def answers_to(self, domain: str) -> bool:
        """Tell whether people name it so; `domain` is folded."""
        return domain in (name.casefold() for name in (*self.domains, self.name))


@dataclass(frozen=True, slots=True)
class Granted:
    """What the rules give somebody: role and policy, and why (`reason.because`: the rules that were passed over)."""

    role_id: str
    policy_id: str | None
    reason: Reason


def to_ask(directories: Iterable[DirectoryRecord], domain: str, chosen: str = "") -> list[DirectoryRecord]:
    """Return the directories to ask about a name, in order: the chosen one, those of its domain, or all that take bare names."""
    active = [one for one in directories if one.active]
    if chosen:
        found = [one for one in active if one.id == chosen]
    elif domain:
        found = [one for one in active if one.answers_to(domain)]
    else:
        found = [one for one in active if one.ask_bare_names]
    return sorted(found, key=lambda one: (one.position, one.name.casefold(), one.id))


def grant(directory: DirectoryRecord, identity: Identity, location_id: str | None) -> Granted | Reason:
    """Walk the rules from the top: the first that holds decides, else the defaults; without a role it is a refusal."""
    passed: list[Reason] = []
    for number, rule in enumerate(directory.rules, 1):
        line: dict[str, str | int | float | bool | None] = {"rule": number, "said": said(rule)}
        if rule.location_id is not None and rule.location_id != location_id:
            passed.append(Reason("rule.elsewhere", line))
        elif not _holds(rule, identity):
            passed.append(Reason("rule.not_met", line))
        else:
            reason = Reason("rule.won", {**line, "directory": directory.name}, tuple(passed))
            return _granted(directory, rule.role_id, rule.policy_id, reason)
    reason = Reason("rule.default", {"directory": directory.name}, tuple(passed))
    return _granted(directory, None, None, reason)


def _granted(
    directory: DirectoryRecord, role_id: str | None, policy_id: str | None, reason: Reason
) -> Granted | Reason:
    role = role_id or directory.default_role_id
    if role is None:
        return Reason("login.no_role", {"directory": directory.name}, (reason,))
    return Granted(role, policy_id or directory.default_policy_id, reason)


def said(rule: AssignmentRule) -> str:
    """Return a rule's condition in signs that need no translation: `group = VDI-Users`, `title = *Chief*`, `level > 3`, `*`."""
    if not rule.attribute.strip():
        return "*"
    sign, form = _SIGNS.get(rule.operator, (rule.operator, "{}"))
    return f"{rule.attribute.strip()} {sign} {form.format(rule.text)}"


_SIGNS = {
    "eq": ("=", "{}"), "ne": ("≠", "{}"), "ct": ("=", "*{}*"), "nc": ("≠", "*{}*"), "bw": ("=", "{}*"), "ew": ("=", "*{}"),
    "gt": (">", "{}"), "lt": ("<", "{}"),
}  # fmt: skip


def check_rules(lines: Sequence[AssignmentRule]) -> dict[str, str]:
    """Return what is wrong with assignment rules: field path → sentence. Which attributes there are, only the directory knows."""
    if len(lines) > MAX_RULES:
        return {"rules": f"Use at most {MAX_RULES} rules."}
    return {
        f"rules.{number}.{field}": text
        for number, line in enumerate(lines)
        if line.attribute.strip()
        for field, text in rules.check_line(_condition(line), (line.attribute.strip(),), frozenset()).items()
    }


def _condition(rule: AssignmentRule) -> Rule:
    return Rule(rule.attribute.strip(), rule.operator, rule.text)


def _holds(rule: AssignmentRule, identity: Identity) -> bool:
    name = rule.attribute.strip()
    return not name or rules.compile_line(_condition(rule), {name: _values(name.casefold())}, frozenset())(identity)


def _values(name: str) -> Callable[[Identity], tuple[str, ...]]:
    fixed: Mapping[str, Callable[[Identity], tuple[str, ...]]] = {
        "group": lambda identity: identity.groups,
        "user name": lambda identity: (identity.login_name,),
        "full name": lambda identity: (identity.display_name,),
        "email": lambda identity: (identity.email,),
    }
    return fixed.get(name, lambda identity: identity.attributes.get(name, ()))
