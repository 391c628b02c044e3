"""The contract of directories, on whichever real server a test module gives."""

from dataclasses import dataclass
from typing import Any

import pytest

from portico.errors import DirectoryError
from portico.ports.directory import DirectoryContext, Standing, TypedName

CONTEXT = DirectoryContext(("127.0.0.0/8",))
STRANGE = (
    "*", "a*", ")(uid=*", "alice)(objectClass=*", "\\2a", "alice\0", "\0", "x" * 1_000_000, "\udcff\ud800", "é\u0301" * 30, "' OR 1=1 --",
    "alice,ou=People", "(&(uid=alice))", "alice\n", ":", "nina:x",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A real directory and how to reach it. `member`: a person, and a group that holds them, perhaps through others."""

    kind: str
    server: Any
    driver: Any
    member: tuple[str, str]
    disabled: str

    def open(self, **settings: Any) -> Any:
        """Return a driver for it; `settings` over its own."""
        return self.driver(self.driver.Settings(**{**self.server.settings, "timeout": 5, **settings}), CONTEXT)


class DirectoryContract:
    """What every driver does. The module that derives from it has a fixture `source`."""

    @pytest.mark.capability("S042", "S043", "S044")
    def test_the_right_password_tells_who_somebody_is(self, source: Source) -> None:
        driver = source.open()
        name, group = source.member
        verdict = driver.authenticate(TypedName(name, name), source.server.password(name))
        assert verdict.standing is Standing.OK
        assert verdict.identity is not None
        assert (verdict.identity.login_name, bool(verdict.identity.subject)) == (name, True)
        assert verdict.identity.display_name.startswith(name.capitalize())
        assert group in verdict.identity.groups
        again = driver.authenticate(
            TypedName(name.upper() if source.kind != "nis" else name, name), source.server.password(name)
        )
        assert again.identity is not None
        assert again.identity.subject == verdict.identity.subject
        driver.close()

    @pytest.mark.capability("S042", "S043", "S044")
    def test_a_wrong_password_and_a_name_that_nobody_has(self, source: Source) -> None:
        driver = source.open()
        name = source.member[0]
        assert driver.authenticate(TypedName(name, name), "wrong").standing is Standing.WRONG
        assert driver.authenticate(TypedName("nobody-here", "nobody-here"), "x").standing is Standing.UNKNOWN
        driver.close()

    @pytest.mark.capability("S042", "S043", "S044")
    def test_an_empty_password_is_never_sent(self, source: Source) -> None:
        """RFC 4513, section 5.1.2: servers may answer it with success, as nobody."""
        driver = source.open()
        name = source.member[0]
        assert driver.authenticate(TypedName(name, name), "").standing is Standing.WRONG
        driver.close()

    @pytest.mark.capability("S042", "S043", "S044")
    @pytest.mark.parametrize("text", STRANGE, ids=[f"{number}" for number in range(len(STRANGE))])
    def test_no_text_of_a_name_finds_somebody_else(self, source: Source, text: str) -> None:
        """Filters, DNs and lines of maps are made of values, so no character of a name has a meaning."""
        driver = source.open()
        password = source.server.password(source.member[0])
        assert driver.authenticate(TypedName(text, text), password).standing in (Standing.UNKNOWN, Standing.WRONG)
        driver.close()

    @pytest.mark.capability("S042", "S043", "S044")
    def test_a_password_may_hold_anything(self, source: Source) -> None:
        driver = source.open()
        name = source.member[0]
        for password in ("x" * 100_000, "\0", "é" * 500, "\udcff"):
            assert driver.authenticate(TypedName(name, name), password).standing in (Standing.WRONG, Standing.LOCKED)
            # Samba and slapd count these tries; the right one begins anew.
            assert driver.authenticate(TypedName(name, name), source.server.password(name)).standing is Standing.OK
        driver.close()

    @pytest.mark.capability("S047")
    def test_people_are_looked_up_without_their_password(self, source: Source) -> None:
        driver = source.open()
        name = source.member[0]
        found = driver.look([name, source.disabled, "nobody-here"])
        assert set(found) == {name, source.disabled, "nobody-here"}
        assert found[name] is not None
        assert (found[source.disabled], found["nobody-here"]) == (None, None)
        driver.close()

    @pytest.mark.capability("S042", "S043", "S044")
    def test_a_check_names_what_it_looked_at(self, source: Source) -> None:
        driver = source.open()
        found = driver.check()
        assert found
        assert all(one.state in ("granted", "warning") for one in found), found
        driver.close()

    @pytest.mark.capability("S119")
    def test_a_server_that_says_nothing_ends_a_log_in_in_time(self, source: Source) -> None:
        driver = source.open(timeout=1)
        name = source.member[0]
        source.server.pause()
        try:
            with pytest.raises(DirectoryError):
                driver.authenticate(TypedName(name, name), "x")
        finally:
            source.server.go_on()
        driver.close()

    @pytest.mark.capability("S042", "S043", "S044")
    def test_kept_connections_survive_a_restart_of_the_server(self, source: Source) -> None:
        driver = source.open(timeout=20)
        name = source.member[0]
        assert driver.authenticate(TypedName(name, name), source.server.password(name)).standing is Standing.OK
        source.server.stop()
        source.server.up()
        assert driver.authenticate(TypedName(name, name), source.server.password(name)).standing is Standing.OK
        driver.close()
