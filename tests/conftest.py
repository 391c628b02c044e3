"""What every test may use: the capability table, databases of both kinds, hypothesis profiles."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Its assertions are to speak as those of a test module do.
pytest.register_assert_rewrite("tests.contract.suite")
pytest_plugins = ["tests.capabilities", "tests.databases"]

settings.register_profile("default", deadline=None, print_blob=True, max_examples=50)
settings.register_profile(
    "full", deadline=None, print_blob=True, max_examples=2000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
