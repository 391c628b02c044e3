"""Real OpenStack services on this machine's loopback: installed, started, seeded and stopped by `python3 -m tests.lab`."""
