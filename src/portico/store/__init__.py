"""What Portico remembers: SQL through SQLAlchemy Core."""
