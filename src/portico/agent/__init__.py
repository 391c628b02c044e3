"""The agent on each desktop (Python 3.6 language and library, nothing else)."""
