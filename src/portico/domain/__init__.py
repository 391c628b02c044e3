"""Decisions: frozen records and a time in, frozen records out. No I/O, clock, randomness or logging."""
