"""A language `xx` that nobody speaks: each text longer and with marks, to show pages in the longest language. Never shipped."""

import re
from collections.abc import Iterable
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

MARKED = str.maketrans("aeioucnsAEIOUCNS", "äéîôüçñšÄÉÎÔÜÇÑŠ")
KEPT = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|<[^>]+>|&\w+;")


def lengthen(text: str) -> str:
    """Return the text with marks on its letters and 40 % longer; placeholders, tags and entities stay."""
    out, position = [], 0
    for kept in KEPT.finditer(text):
        out += [text[position : kept.start()].translate(MARKED), kept.group()]
        position = kept.end()
    out.append(text[position:].translate(MARKED))
    return f"[{''.join(out)} {'ṁ' * max(1, round(len(text) * 0.4))}]"


def pseudo_catalogue(texts: Iterable[str | tuple[str, str]]) -> Catalog:
    """Return a catalogue with each text lengthened; a pair is a singular with its plural."""
    catalogue = Catalog(domain="portico")
    for text in texts:
        catalogue.add(text, lengthen(text) if isinstance(text, str) else tuple(map(lengthen, text)))
    return catalogue


def write(template: Path, locales: Path) -> Path:
    """Write the compiled catalogue of `xx` for a template of messages (portico.pot) below `locales`; returns its path."""
    with template.open("rb") as stream:
        texts = [message.id for message in read_po(stream) if message.id]
    target = locales / "xx" / "LC_MESSAGES" / "portico.mo"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        write_mo(stream, pseudo_catalogue(texts))
    return target
