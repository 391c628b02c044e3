"""Background work, shared by all brokers through one table."""
