"""The key that makes a user's two clicks one assignment: unique among live assignments (design: assignments and seats)."""


def claim_key(user_id: str, pool_assignment_id: str, ordinal: int) -> str:
    """Return the key under which a user claims the desktop number `ordinal` of a line of the policy."""
    return f"{user_id}:{pool_assignment_id}:{ordinal}"


def ordinal_of(key: str | None) -> int | None:
    """Return the ordinal within a claim key, or None where there is none."""
    tail = (key or "").rpartition(":")[2]
    return int(tail) if tail.isascii() and tail.isdigit() else None
