"""Stand-ins for the other side of a wire, and real servers to talk to."""
