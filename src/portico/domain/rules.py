"""Rules of attribute, operator and text, as pools and locations have them. Pure; `T` is what a rule is about."""

import ipaddress
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from portico.domain.model import Rule

T = TypeVar("T")
Attributes = Mapping[str, Callable[[T], tuple[str, ...]]]  # each with the texts that it stands for; most have one
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What an operator asks of one text of the attribute and the rule's own text, both folded.
COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda value, text: value == text,
    "ct": lambda value, text: text in value,
    "bw": lambda value, text: value.startswith(text),
    "ew": lambda value, text: value.endswith(text),
    "gt": lambda value, text: _compare(value, text) > 0,
    "lt": lambda value, text: _compare(value, text) < 0,
}
OPPOSITE: Mapping[str, str] = {"ne": "eq", "nc": "ct"}
IN_NETWORK = frozenset({"ip", "np"})
OPERATORS = (*COMPARE, *OPPOSITE, *sorted(IN_NETWORK))
MAX_RULES = 50
VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}", re.ASCII)


def check(join: str, lines: Iterable[Rule], known: Iterable[str], addresses: frozenset[str]) -> dict[str, str]:
    """Return what is wrong with rules, "join" and the lines' fields by number ("0.text"): path → sentence. Empty when they can be used."""
    wrong: dict[str, str] = {}
    if join not in ("and", "or"):
        wrong["join"] = "Choose “and” or “or”."
    for number, line in enumerate(lines):
        if number >= MAX_RULES:
            wrong[""] = f"Use at most {MAX_RULES} lines."
            break
        for field, sentence in check_line(line, known, addresses).items():
            wrong[f"{number}.{field}"] = sentence
    return wrong


def compile_line(line: Rule, attributes: Attributes[T], addresses: frozenset[str]) -> Callable[[T], bool]:
    """Return a line as a test; a broken one is met by nothing."""
    if check_line(line, attributes, addresses):
        return lambda subject: False
    texts = attributes[line.attribute]
    if line.operator in IN_NETWORK:
        network, wanted = _network(line.text), line.operator == "ip"
        return lambda subject: _lies_in(texts(subject)[0], network) is wanted
    compare = COMPARE[OPPOSITE.get(line.operator, line.operator)]
    wanted, text = line.operator not in OPPOSITE, line.text.casefold()
    return lambda subject: any(compare(value.casefold(), text) for value in texts(subject)) is wanted


def check_line(line: Rule, known: Iterable[str], addresses: frozenset[str]) -> dict[str, str]:
    """Return what is wrong with a line: field → sentence."""
    names = list(known)
    wrong: dict[str, str] = {}
    if line.attribute not in names:
        wrong["attribute"] = f"There is no attribute “{line.attribute}”. Use one of: {', '.join(names)}."
    if line.operator not in OPERATORS:
        wrong["operator"] = f"There is no operator “{line.operator}”. Use one of: {', '.join(OPERATORS)}."
    elif line.operator in IN_NETWORK and line.attribute not in addresses:
        wrong["operator"] = "A network can be compared with an address only."
    if line.operator in IN_NETWORK and _network(line.text) is None:
        wrong["text"] = "Write a network such as 10.1.0.0/16 or 2001:db8::/32."
    elif line.operator in ("gt", "lt") and math.isnan(_number(line.text)) and not VERSION.fullmatch(line.text):
        wrong["text"] = "Write a number, or a version such as 10.15.7."
    elif not line.text and line.operator in ("ct", "nc", "bw", "ew"):
        wrong["text"] = "Write what to look for."
    return wrong


def _lies_in(address: str, network: Network | None) -> bool | None:
    """Tell whether the address lies in the network; None (neither in nor out) where there is no address."""
    try:
        return network is not None and ipaddress.ip_address(address) in network
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def _compare(one: str, other: str) -> float:
    """Return a number above, below or at 0 as one is more, less or the same; NaN where they cannot be compared.

    Numbers are compared as such; with more than one dot they are versions, part by part: 10.15.7 is more than 10.9.
    """
    if one.count(".") > 1 or other.count(".") > 1:
        if not (VERSION.fullmatch(one) and VERSION.fullmatch(other)):
            return math.nan
        mine, theirs = ([int(part) for part in text.split(".")] for text in (one, other))
        return (mine > theirs) - (mine < theirs)
    return _number(one) - _number(other)


def _number(text: str) -> float:
    """Return the number, or NaN, which is neither greater nor less than any."""
    try:
        return float(text)
    except ValueError:
        return math.nan
