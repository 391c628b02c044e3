"""Reach: what may be typed as an address, and what may be connected to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.egress import Reach, addresses, check, read_url, why_not
from portico.errors import Invalid

NEVER = ("169.254.169.254", "fe80::1", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255",
         "100.100.100.200", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254")  # fmt: skip
LOOPBACK = ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")
PRIVATE = ("10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1")
PUBLIC = ("203.0.113.7", "2001:db8::1", "8.8.8.8", "2606:4700::1111")
EVERYTHING = ("0.0.0.0/0", "::/0")


def no(text: str, **reach: object) -> str:
    return why_not(ipaddress.ip_address(text), Reach(**reach))  # type: ignore[arg-type]


@pytest.mark.capability("S086")
@pytest.mark.parametrize("text", NEVER)
def test_link_local_and_metadata_addresses_are_never_reached(text: str) -> None:
    """Not even where the configuration allows everything, and in no disguise."""
    assert no(text)
    assert no(text, allow=EVERYTHING)


@pytest.mark.capability("S086")
@pytest.mark.parametrize("text", LOOPBACK)
def test_this_machine_is_reached_only_where_that_is_allowed(text: str) -> None:
    """Loopback is refused with the remedy, and allowed by name."""
    assert "egress_allow" in no(text)
    assert not no(text, allow=("127.0.0.0/8", "::1/128"))


@pytest.mark.capability("S086")
def test_private_networks_are_reached_where_clouds_live() -> None:
    """A center may be in a private network; where private ones do not count, egress_allow names them."""
    for text in PRIVATE:
        assert not no(text)
        assert no(text, private=False)
    assert not no("10.0.0.1", private=False, allow=("10.0.0.0/24",))
    for text in PUBLIC:
        assert not no(text, private=False)


@pytest.mark.capability("S086")
@pytest.mark.parametrize(
    "url",
    [
        "", " ", "cloud.example", "ftp://cloud.example", "file:///etc/passwd", "http://", "http:///v3", "//cloud.example",
        "http://user:pw@cloud.example/", "http://cloud.example@169.254.169.254/", "http://cloud.example:0/", "http://a:/",
        "http://cloud.example:99999/", "http://cloud.example:8o/", "http://cloud.example/?q", "http://cloud.example/#f",
        "http://cloud example/", "http://cloud.example\\@evil/", "http://cloud.example/\r\nX: y", "http://cloud.example/\0",
        "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://127.1/", "http://0x7f000001/", "http://1.2.3.4.5/",
        "http://[fe80::1%25eth0]/", "http://[::1", "http://-a.example/", "http://a..b/", "http://a_b-.example/", f"http://{'a' * 64}.b/",
        "http://①②⑦.⓪.⓪.1.example..", "http://127。0。0。1。1/",
    ],
)  # fmt: skip
def test_what_is_no_plain_address_is_refused_by_its_field(url: str) -> None:
    """User names, odd forms of numbers, zones, ports out of range, controls: each is a sentence for the field."""
    with pytest.raises(Invalid) as trouble:
        read_url(url, "auth_url")
    assert trouble.value.fields["auth_url"].endswith(".")


@pytest.mark.capability("S086")
def test_plain_addresses_are_read() -> None:
    """Scheme, host, port and path; names in small ASCII letters; an origin that can be written back."""
    assert read_url("HTTPS://Cloud.Example:5000/v3/").origin == "https://cloud.example:5000"
    assert read_url("https://[2001:db8::1]:5000/v3").origin == "https://[2001:db8::1]:5000"
    assert read_url("https://bücher.example").host == "xn--bcher-kva.example"
    assert read_url("http://cloud.example.").port == 80
    assert read_url("http://203.0.113.7/identity/v3").path == "/identity/v3"


@pytest.mark.capability("S086")
def test_only_good_addresses_of_a_name_are_connected_to() -> None:
    """A name with a forbidden address among others leads to the others; with none else it is refused, name and address told."""
    mixed = {"a.example": ["169.254.169.254", "203.0.113.7"], "b.example": ["127.0.0.1", "::1"], "c.example": []}
    assert addresses("a.example", Reach(), mixed.__getitem__) == ("203.0.113.7",)
    for name in ("b.example", "c.example"):
        with pytest.raises(Invalid) as trouble:
            check(f"http://{name}/", Reach(field="auth_url"), mixed.__getitem__)
        assert name in trouble.value.fields["auth_url"]


@pytest.mark.capability("S086")
@given(st.text(max_size=60) | st.from_regex(r"https?://[^ ]{0,40}", fullmatch=True))
def test_reading_any_text_gives_an_address_or_a_sentence(text: str) -> None:
    """No other exception, and what is accepted says the same when it is read again."""
    try:
        url = read_url(text, "auth_url")
    except Invalid as trouble:
        assert trouble.fields
        return
    assert read_url(url.origin).host == url.host
    assert "@" not in url.origin


@pytest.mark.capability("S086")
@given(st.ip_addresses(), st.sampled_from(["", "::ffff:", "64:ff9b::", "::"]))
def test_no_address_is_reached_in_disguise_that_is_not_reached_plainly(
    address: ipaddress.IPv4Address, prefix: str
) -> None:
    """IPv4 inside IPv6 is judged as what it is."""
    if prefix and address.version == 4 and int(address) > 1:
        disguised = ipaddress.ip_address(f"{prefix}{address}")
        assert bool(why_not(disguised, Reach(private=False))) == bool(why_not(address, Reach(private=False)))
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        assert why_not(address, Reach(allow=EVERYTHING))
