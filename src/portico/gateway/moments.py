"""Points in time as brokers write them. Pure."""

from datetime import datetime


def unix_seconds(value: object) -> float | None:
    """Return an ISO 8601 time with its zone as Unix seconds; None stays None. Raises ValueError."""
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.timestamp()
