"""What every test may use: the capability table, databases of both kinds, hypothesis profiles."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.capabilities", "tests.databases"]

settings.register_profile("default", deadline=None, print_blob=True, max_examples=50)
settings.register_profile(
    "full", deadline=None, print_blob=True, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
