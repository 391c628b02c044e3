"""The contract of directories on the one that needs no server; the others are in tests/integration/test_directories.py."""

from dataclasses import dataclass
from typing import Any

import pytest
from tests.contract.directory_suite import CONTEXT, DirectoryContract, Source

from portico.directories import crypt3
from portico.directories.listed import Listed, ListedSettings
from portico.errors import DirectoryRefused, Invalid
from portico.ports.directory import Standing, TypedName


@dataclass(frozen=True)
class Written:
    """A list stands in for a server: there is nothing to stop, and nothing that says nothing."""

    people: str

    @property
    def settings(self) -> dict[str, str]:
        return {"people": self.people}

    def password(self, name: str) -> str:
        return f"Passw0rd-{name}"

    def stop(self) -> None: ...

    def up(self) -> None: ...


LINES = (
    f"ada:{crypt3.make('Passw0rd-ada', '$6$')}:Ada List:ada@list.test:Engineers,VDI-Users\n"
    f"# nobody\n\nbob:{crypt3.make('Passw0rd-bob', '$y$')}\nlock:!:Locked"
)


class ListSource(Source):
    """Without the settings of a server."""

    def open(self, **settings: Any) -> Any:
        return Listed(ListedSettings(**self.server.settings), CONTEXT)


@pytest.fixture
def source() -> Source:
    return ListSource("list", Written(LINES), Listed, ("ada", "VDI-Users"), "lock")


class TestContract(DirectoryContract):
    """On a list of people."""

    test_a_server_that_says_nothing_ends_a_log_in_in_time = None  # type: ignore[assignment]  # there is no server


@pytest.mark.capability("S045")
@pytest.mark.parametrize("text", ["ada", "ada:", ":x", "a b:x", "ada:x\nADA:y", "ada@corp:x"])
def test_a_line_that_cannot_be_used_is_named(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        Listed(ListedSettings(text), CONTEXT)
    assert caught.value.fields["people"].startswith("Line ")


@pytest.mark.capability("S045")
def test_a_locked_line_and_one_whose_password_cannot_be_changed() -> None:
    driver = Listed(ListedSettings(LINES), CONTEXT)
    assert driver.authenticate(TypedName("lock", "lock"), "!").standing is Standing.WRONG
    with pytest.raises(DirectoryRefused):
        driver.change_password(TypedName("ada", "ada"), "Passw0rd-ada", "x" * 12)


@pytest.mark.capability("S044")
@pytest.mark.parametrize("method", ["$y$", "$6$", "$5$", "$2b$", "$1$", ""])
def test_every_hash_that_systems_have_is_compared(method: str) -> None:
    """yescrypt, SHA-512, SHA-256, bcrypt, MD5 and DES; a hash never fits itself."""
    hashed = crypt3.make("Passw0rd", method)
    assert crypt3.fits("Passw0rd", hashed)
    for wrong in ("passw0rd", "", hashed, "\0", "x" * 10_000, "\udcff"):
        assert not crypt3.fits(wrong, hashed)


@pytest.mark.capability("S044")
@pytest.mark.parametrize("hashed", ["", "x", "*", "!", "!$6$a$b", "##ada", "$6$", "\0", "é", "$9$zz$zz"])
def test_what_is_no_hash_fits_nothing(hashed: str) -> None:
    assert not crypt3.fits("Passw0rd", hashed)
    assert not crypt3.fits(hashed, hashed)
