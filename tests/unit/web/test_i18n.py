import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jinja2
import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st
from tests.pseudo import lengthen, pseudo_catalogue

from portico.web import i18n

pytestmark = pytest.mark.capability("S030")

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
CATALOGUES = sorted(i18n.LOCALES.glob("*/LC_MESSAGES/portico.po"))


@pytest.mark.parametrize(
    ("header", "chosen", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.1", "", "de"),
        ("fr,en;q=0.5,de;q=0.7", "", "de"),
        ("fr", "", "en"),
        ("", "", "en"),
        ("en", "de", "de"),
        ("de;q=0,en", "", "en"),
        ("de", "klingon", "de"),
        ("pt-BR", "", "pt_BR"),
        (";;;q=,,,de;q=x, *;q=0.5", "", "en"),
    ],
)
def test_a_person_gets_the_best_language_that_there_is(header, chosen, language):
    """Their own chosen first, then their browser's order, then English."""
    assert i18n.negotiate(header, chosen, ("en", "de", "pt_BR")) == language


@given(st.text(max_size=600), st.text(alphabet=string.printable, max_size=20))
def test_any_header_leads_to_a_language(header, chosen):
    """What a browser sends may be anything."""
    assert i18n.negotiate(header, chosen, ("en", "de")) in ("en", "de")


def test_times_are_written_in_the_zone_and_manner_of_the_reader():
    """One moment, told as each person reads it; an unknown zone is UTC."""
    assert i18n.format_time(NOON, "Europe/Berlin", "de") == "01.07.2026, 14:00:00"
    assert "12:00" in i18n.format_time(NOON, "../../etc/passwd", "en", "short")
    assert i18n.format_date(NOON.replace(hour=23), "Europe/Berlin", "de") == "02.07.2026"
    assert i18n.format_relative(NOON - timedelta(minutes=3), NOON, "en") == "3 minutes ago"
    assert i18n.format_relative(NOON - timedelta(minutes=3), NOON, "de") == "vor 3 Minuten"
    assert i18n.format_span(90, "xx-unknown") == "2 minutes"


def test_templates_speak_the_language_of_the_moment():
    """One compiled template serves all languages, escapes what it is given and knows plurals."""
    current = [i18n.translator("en")]
    environment = jinja2.Environment(autoescape=True)
    i18n.install(environment, lambda: current[0])
    template = environment.from_string(
        "{% trans n=n %}{{ n }} desktop{% pluralize %}{{ n }} desktops{% endtrans %} {{ _('Hi %(who)s', who='<b>') }}"
    )
    assert template.render(n=2) == "2 desktops Hi &lt;b&gt;"


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_each_catalogue_compiles_and_keeps_the_placeholders(file: Path, tmp_path):
    """No translation loses or invents a placeholder."""
    with file.open("rb") as stream:
        catalogue = read_po(stream, locale=file.parent.parent.name, domain="portico")
    problems = [(message.id, [str(error) for error in errors]) for message, errors in catalogue.check()]
    assert problems == []
    with (tmp_path / "portico.mo").open("wb") as stream:
        write_mo(stream, catalogue)


def test_the_longest_language_keeps_placeholders_and_tags():
    """The pseudo language lengthens what people read and nothing else."""
    made = lengthen("Open %(name)s <b>now</b> {count} &amp; go")
    assert all(part in made for part in ("%(name)s", "<b>", "</b>", "{count}", "&amp;"))
    assert len(made) > len("Open %(name)s <b>now</b> {count} &amp; go") * 1.2
    catalogue = pseudo_catalogue([("One thing", "Many things")])
    assert len(catalogue["One thing"].string) == 2


@pytest.mark.parametrize("file", CATALOGUES, ids=lambda path: path.parent.parent.name)
def test_each_catalogue_is_complete(file: Path):
    """No text of a catalogue is left untranslated, in any of its plural forms."""
    with file.open("rb") as stream:
        catalogue = read_po(stream, locale=file.parent.parent.name, domain="portico")
    texts = {
        message.id: message.string if isinstance(message.string, tuple) else (message.string,)
        for message in catalogue
        if message.id
    }
    assert len(texts) > 1000
    assert [text for text, forms in texts.items() if not all(forms)] == []
