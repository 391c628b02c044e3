import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.tags import Context, Tag, Text, padded, parse, render, unknown

pytestmark = pytest.mark.capability("S102", "S059")

HOSTILE = st.text() | st.text(st.sampled_from("a-\r\n\0\x85\u2028 /&?%{}:;\"'é"))
TEMPLATES = st.text(st.sampled_from("ab{}:X-/ \r\n"))


def test_a_template_falls_into_its_pieces() -> None:
    assert parse("a{USER}-{AD:USER:mail}{{b}") == (
        Text("a"),
        Tag("USER"),
        Text("-"),
        Tag("AD", "USER:mail"),
        Text("{"),
        Text("b}"),
    )


@given(TEMPLATES | st.text())
def test_any_text_is_a_template(template: str) -> None:
    parts = parse(template)
    written = "".join(part.text.replace("{", "{{") if isinstance(part, Text) else f"{{{part}}}" for part in parts)
    assert render(written, {}, "text") == render(template, {}, "text")


def test_tags_that_are_not_allowed_are_named_as_written() -> None:
    template = "{USER}{USER:SHOE}{user}{SEQUENCE:4}{{NOT}{VM:NAME}"
    assert unknown(template, {"SEQUENCE", "VM:NAME", "USER:NAME"}) == ["{USER}", "{USER:SHOE}", "{user}"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{USER}", "ada"),
        ("{USER:NAME}", "Ada L."),
        ("{USER:SHOE}", ""),
        ("{NOBODY}", ""),
        ("{SEQUENCE}-{SEQUENCE:4}-{SEQUENCE:x}", "7-0007-7"),
        ("{{USER}", "{USER}"),
        ("{USER", "{USER"),
        ("}{", "}{"),
        ("{}", ""),
    ],
)
def test_tags_are_filled_in(template: str, text: str) -> None:
    assert render(template, {"USER": "ada", "USER:NAME": "Ada L.", "SEQUENCE": padded(7)}, "text") == text


def test_a_value_is_never_read_as_a_template() -> None:
    assert render("{USER}", {"USER": "{PASSWORD}", "PASSWORD": "secret"}, "text") == "{PASSWORD}"


@pytest.mark.parametrize(
    ("context", "template", "value", "text"),
    [
        ("name", "desk {USER}", "Ada_Löwe", "desk-Ada-Lowe"),
        ("name", "{USER}", "---", ""),
        ("line", "username:s:{USER}", "ada\r\nalternate shell:s:cmd", "username:s:adaalternate shell:s:cmd"),
        ("argument", "{USER}", "-oProxyCommand=x", "oProxyCommand=x"),
        ("argument", "-l{USER}", "-x\0", "-l-x"),
        ("url", "https://hook/?u={USER}", "a&b=c/é", "https://hook/?u=a%26b%3Dc%2F%C3%A9"),
        ("url", "{USER}", "\ud800", "%3F"),
        ("text", "{USER}", "a\nb", "a\nb"),
    ],
)
def test_values_are_made_harmless_for_their_place(context: Context, template: str, value: str, text: str) -> None:
    assert render(template, {"USER": value}, context) == text


@given(HOSTILE, HOSTILE)
def test_a_name_is_a_dns_label_or_nothing(template: str, value: str) -> None:
    name = render(template + "{X}", {"X": value}, "name")
    assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)?", name)


@given(HOSTILE)
def test_a_line_of_an_rdp_file_stays_one_line(value: str) -> None:
    line = render("username:s:{X}", {"X": value}, "line")
    assert len(line.splitlines()) == 1
    assert "\0" not in line


@given(HOSTILE)
def test_an_argument_is_never_turned_into_an_option(value: str) -> None:
    argument = render("{X}", {"X": value}, "argument")
    assert not argument.startswith("-")
    assert "\0" not in argument


@given(HOSTILE)
def test_a_url_keeps_its_shape_and_its_value(value: str) -> None:
    url = render("https://hook/{X}?x={X}", {"X": value}, "url")
    assert re.fullmatch(r"https://hook/[A-Za-z0-9._~%-]*\?x=[A-Za-z0-9._~%-]*", url)
    assert unquote(url.rpartition("=")[2]) == value.encode("utf-8", "replace").decode()
