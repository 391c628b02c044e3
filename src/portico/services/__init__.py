"""Use cases: load facts, decide, record, act."""
