"""Pages for people who want their desktop."""
