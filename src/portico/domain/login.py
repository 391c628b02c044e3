"""Who is meant by what was typed, when tries are locked out, and which passwords will do. Hashing lives elsewhere."""

import math
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from portico.domain.model import Policy, Reason, Role, User
from portico.domain.second_factors import factors_of

STREAK = timedelta(days=1)  # failures further apart than this do not add up
MIN_PASSWORD = 12
MIN_NAME_IN_PASSWORD = 3  # shorter names occur in any good password by chance


@dataclass(frozen=True, slots=True)
class Lockout:
    """The failed log-ins in a row of one account."""

    failed: int = 0
    last_failed_at: datetime | None = None
    locked_until: datetime | None = None


def locked_for(lockout: Lockout, now: datetime) -> int:
    """Return the seconds that the account stays locked, 0 when it is not."""
    if lockout.locked_until is None:
        return 0
    return max(0, math.ceil((lockout.locked_until - now).total_seconds()))


def after_failure(
    lockout: Lockout, now: datetime, threshold: int = 5, base_seconds: int = 60, max_seconds: int = 3600
) -> Lockout:
    """Return the lock-out after one more failure: from the threshold on, each failure doubles the wait in seconds."""
    fresh = lockout.last_failed_at is None or now - lockout.last_failed_at > STREAK
    failed = 1 if fresh else lockout.failed + 1
    if failed < threshold:
        return Lockout(failed, now, None)
    doublings = min(failed - threshold, 32)  # beyond that the maximum rules anyway
    return Lockout(failed, now, now + timedelta(seconds=min(max_seconds, base_seconds * 2**doublings)))


def after_success() -> Lockout:
    """Return the clean slate that a successful log-in leaves."""
    return Lockout()


def split_name(typed: str) -> tuple[str, str]:
    """Return (login name, domain) of `DOMAIN\\user`, `user@domain` or a bare name, folded so that spellings compare equal.

    The domain is empty when none was typed. Where one half is empty, the whole is taken as a bare name.
    """
    name = _fold(typed)
    domain, backslash, user = name.partition("\\")
    if not backslash:
        user, _, domain = name.rpartition("@")
    user, domain = user.strip(), domain.strip()
    return (user, domain) if user and domain else (name, "")


def step_after_password(user: User, role: Role, policy: Policy, *, passkey: bool = False) -> str:
    """Return what stands between a right password and the portal: "code", "setup" of a second factor that is due, or "" for nothing.

    A `passkey` instead of the password is a second factor at once, where those that were set up here count.
    """
    factors = factors_of(role, policy)
    if passkey and factors.own:
        return ""
    if user.second_factor or factors.radius_id:
        return "code"
    return "setup" if role.second_factor_required or policy.second_factor_required else ""


def as_typed(typed: str) -> tuple[str, str]:
    """Return (the user's part, the whole) of a name as it was typed, for directories to which capital letters matter."""
    whole = "".join(character for character in typed if character.isprintable()).strip()
    _, backslash, user = whole.partition("\\")
    if not backslash:
        user = whole.rpartition("@")[0]
    return user.strip() or whole, whole


def check_password_policy(password: str, login_name: str) -> Reason | None:
    """Return why a new password will not do, or None: long enough, not the name, not one character over and over."""
    if len(password) < MIN_PASSWORD:
        return Reason("password.short", {"minimum": MIN_PASSWORD})
    if len(set(password)) == 1:
        return Reason("password.one_character")
    name = _fold(login_name)
    if len(name) >= MIN_NAME_IN_PASSWORD and name in _fold(password):
        return Reason("password.contains_name")
    return None


def _fold(text: str) -> str:
    # Characters that cannot be seen have no place in a name, and some (NUL, lone surrogates) no place in a database.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in folded if character.isprintable()).strip()
