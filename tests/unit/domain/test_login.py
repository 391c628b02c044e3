from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import NOW

from portico.domain.login import Lockout, after_failure, after_success, check_password_policy, locked_for, split_name

pytestmark = pytest.mark.capability("S045")


def fail(times: int, lockout: Lockout | None = None) -> Lockout:
    lockout = lockout or after_success()
    for _ in range(times):
        lockout = after_failure(lockout, NOW)
    return lockout


def test_four_failures_lock_nobody_out() -> None:
    assert locked_for(fail(4), NOW) == 0


@pytest.mark.parametrize(
    ("times", "seconds"), [(5, 60), (6, 120), (7, 240), (10, 1920), (11, 3600), (12, 3600), (500, 3600)]
)
def test_each_failure_from_the_fifth_on_doubles_the_wait_up_to_an_hour(times: int, seconds: int) -> None:
    assert locked_for(fail(times), NOW) == seconds


def test_a_lock_runs_out() -> None:
    locked = fail(5)
    assert locked_for(locked, NOW + timedelta(seconds=59.5)) == 1
    assert locked_for(locked, NOW + timedelta(seconds=60)) == 0


def test_failures_of_another_day_do_not_add_up() -> None:
    old = fail(9)
    assert after_failure(old, NOW + timedelta(hours=25)).failed == 1
    assert after_failure(old, NOW + timedelta(hours=23)).failed == 10


def test_a_success_wipes_the_slate() -> None:
    assert after_success() == Lockout(0, None, None)


@given(st.integers(0, 10_000))
def test_a_lock_never_exceeds_its_maximum(failed: int) -> None:
    assert locked_for(after_failure(Lockout(failed, NOW, None), NOW), NOW) <= 3600


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Ada", ("ada", "")),
        ("  ada ", ("ada", "")),
        ("EXAMPLE\\Ada", ("ada", "example")),
        ("ada@Example.ORG", ("ada", "example.org")),
        ("ada@home@example.org", ("ada@home", "example.org")),
        ("EX\\ada@example.org", ("ada@example.org", "ex")),
        ("ＡＤＡ", ("ada", "")),
        ("Straße", ("strasse", "")),
        ("a\x00d\u200ba", ("ada", "")),
        ("@ada", ("@ada", "")),
        ("ada@", ("ada@", "")),
        ("\\ada", ("\\ada", "")),
        ("", ("", "")),
    ],
)
def test_names_are_split_and_folded(typed: str, found: tuple[str, str]) -> None:
    assert split_name(typed) == found


@given(st.text())
def test_a_split_name_can_always_be_stored(typed: str) -> None:
    name, domain = split_name(typed)
    assert (name + domain).encode("utf-8").count(0) == 0


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "password.short"),
        ("elevenchars", "password.short"),
        ("aaaaaaaaaaaa", "password.one_character"),
        ("my-name-is-ADA-honestly", "password.contains_name"),
        ("correct horse battery", None),
        ("twelve chars", None),
    ],
)
def test_a_new_password_is_long_and_not_the_name(password: str, code: str | None) -> None:
    reason = check_password_policy(password, "ada")
    assert (reason.code if reason else None) == code


def test_a_very_short_name_bans_no_password() -> None:
    assert check_password_policy("correct horse battery", "a") is None
