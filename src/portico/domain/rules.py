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

VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}", re.ASCII)


def _version(text: str) -> tuple[int, ...] | None:
    """Return the parts of a version, 10.15.7 as well as 11; None for what is none. 11.0 is 11."""
    if not VERSION.fullmatch(text):
        return None
    parts = [int(part) for part in text.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _is_newer(one: str, other: str) -> bool:
    mine, theirs = _version(one), _version(other)
    return mine is not None and theirs is not None and mine > theirs


# What an operator asks of one text of the attribute and the rule's own text, both folded.
COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda value, text: value == text,
    "ct": lambda value, text: text in value,
    "bw": lambda value, text: value.startswith(text),
    "ew": lambda value, text: value.endswith(text),
    "gt": lambda value, text: _number(value) > _number(text),
    "lt": lambda value, text: _number(value) < _number(text),
}
# The same of an attribute that is a version, which is compared part by part: 10.15 is more than 10.9.
COMPARE_VERSIONS: Mapping[str, Callable[[str, str], bool]] = {
    "gt": _is_newer,
    "lt": lambda value, text: _is_newer(text, value),
}
OPPOSITE: Mapping[str, str] = {"ne": "eq", "nc": "ct"}
IN_NETWORK = frozenset({"ip", "np"})
OPERATORS = (*COMPARE, *OPPOSITE, *sorted(IN_NETWORK))
MAX_RULES = 50


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
    by_parts = COMPARE_VERSIONS if is_version(line.attribute) else {}
    compare = by_parts.get(line.operator) or COMPARE[OPPOSITE.get(line.operator, line.operator)]
    wanted, text = line.operator not in OPPOSITE, line.text.casefold()
    return lambda subject: any(compare(value.casefold(), text) for value in texts(subject)) is wanted


def is_version(attribute: str) -> bool:
    """Tell whether an attribute is a version."""
    return attribute.endswith("version")


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
    elif line.operator in ("gt", "lt") and is_version(line.attribute):
        if _version(line.text) is None:
            wrong["text"] = "Write a version such as 10.15.7."
    elif line.operator in ("gt", "lt") and math.isnan(_number(line.text)):
        wrong["text"] = "Write a number."
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


def _number(text: str) -> float:
    """Return the number, or NaN, which is neither greater nor less than any."""
    try:
        return float(text)
    except ValueError:
        return math.nan
