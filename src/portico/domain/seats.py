"""How many seats a desktop gains or loses when its `max_sessions` changes."""


def seats_to_change(current_free: int, current_used: int, max_sessions: int) -> tuple[int, int]:
    """Return (how many seats to add, how many free ones to retire); a used seat is never retired under its user."""
    total = current_free + current_used
    return max(0, max_sessions - total), min(current_free, max(0, total - max_sessions))
