"""Directory drivers: where users come from."""
