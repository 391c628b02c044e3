"""What crosses a process border: tickets, agent reports, launch descriptions (Python 3.6 language, tickets aside)."""
