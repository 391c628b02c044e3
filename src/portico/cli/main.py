"""The administrator's command line: every noun of the REST interface, in the manner of openstackclient.

`portico NOUN list|show|create|set|delete|ACTION …`. What a noun can do comes from the broker that is asked, so that an older
command line knows what a newer broker can. Exit status: 0 done, 1 refused or failed, 2 wrong arguments, 3 nobody answers,
4 not logged in or not allowed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from portico.cli import leaks, logins, output, values
from portico.cli.api import Client
from portico.cli.described import Described, Verb, nouns, read
from portico.cli.nouns import NOUNS
from portico.cli.running import guarded
from portico.errors import Invalid

WAIT_SECONDS = 600


def main(argv: Sequence[str]) -> int:
    """Run `NOUN VERB …` and return its exit status."""
    return guarded(lambda: _noun(argv[0], argv[1:]))


def _noun(word: str, argv: Sequence[str]) -> int:
    first = argparse.ArgumentParser(add_help=False)
    logins.options(first)
    chosen, _ = first.parse_known_args(argv)
    client = logins.client(chosen)
    api = client.get("openapi.json")
    noun = read(api, NOUNS[word])
    given = _parser(word, noun).parse_args(argv)
    if noun.plural == "leaks" and given.verb == "clean":
        return leaks.clean(client, given)
    return _do(client, nouns(api), noun, noun.verbs[given.verb], given)


def _parser(word: str, noun: Described) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"portico {word}", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in noun.verbs.values():
        sub = verbs.add_parser(verb.name, help=_plain(verb.help), description=_plain(verb.help), allow_abbrev=False)
        _arguments(sub, noun, verb)
        output.options(sub)
        logins.options(sub)
    if noun.plural == "leaks":
        leaks.options(verbs)
    return parser


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _arguments(sub: argparse.ArgumentParser, noun: Described, verb: Verb) -> None:
    if verb.on_one:
        many = verb.name == "delete"
        sub.add_argument("items" if many else "item", metavar="NAME", nargs="+" if many else None, help="id or name")
    if verb.name == "list":
        sub.add_argument("-q", "--search", default="", help="words, and filter:value")
        sub.add_argument("--sort", default="", help='a field, "-" before it to turn it around')
        sub.add_argument("--limit", type=int, help="at most so many")
        for name, meaning in noun.filters.items():
            sub.add_argument(f"--{name}", dest=f"filter:{name}", metavar="VALUE", help=_plain(meaning))
        return
    single = verb.name not in ("create", "set") and len(verb.required) == 1
    for field in verb.fields:
        note = _plain(field.help) + (f" ({field.type})" if field.type not in ("", "string") else "")
        if single and field.path == verb.required[0]:
            sub.add_argument(
                f"field:{field.path}", metavar=field.path.upper(), choices=field.choices or None, help=note
            )
        else:
            sub.add_argument(
                f"--{field.path}", dest=f"field:{field.path}", metavar="VALUE", choices=field.choices or None, help=note
            )
    if verb.fields:
        sub.add_argument(
            "--set", action="append", default=[], metavar="PATH=VALUE", help="any field by its dotted path"
        )
        sub.add_argument(
            "--from", dest="from_file", type=Path, metavar="FILE", help="JSON of a body, under what else is given"
        )
    if verb.method != "GET":
        sub.add_argument("--dry-run", action="store_true", help="show what would be asked for, and ask for nothing")
        sub.add_argument("--wait", action="store_true", help="where a job does it, wait for its end")
        sub.add_argument(
            "--timeout", type=float, default=WAIT_SECONDS, metavar="SECONDS", help="of --wait; default: %(default)s"
        )


def _do(client: Client, plurals: Sequence[str], noun: Described, verb: Verb, given: argparse.Namespace) -> int:
    if verb.name == "list":
        return _list(client, noun, given)
    if not verb.on_one:
        return _ask(client, plurals, noun, verb, given, verb.path)
    worst = 0
    for named in getattr(given, "items", None) or [given.item]:
        # What was deleted is found by no name.
        id = named if verb.name == "restore" else values.find(client, noun.plural, named)
        worst = max(worst, _ask(client, plurals, noun, verb, given, verb.path.replace("{id}", quote(id, safe=""))))
    return worst


def _list(client: Client, noun: Described, given: argparse.Namespace) -> int:
    query = {name: text for name, text in (("q", given.search), ("sort", given.sort)) if text}
    chosen = {
        key.partition(":")[2]: text
        for key, text in vars(given).items()
        if key.startswith("filter:") and text is not None
    }
    items = list(client.items(noun.plural, query | chosen, given.limit))
    whole = given.format in ("json", "yaml")
    columns = given.column or ([] if whole else output.shown_columns(noun.columns))
    output.rows(items, columns, given.format)
    return 0


def _ask(
    client: Client, plurals: Sequence[str], noun: Described, verb: Verb, given: argparse.Namespace, below: str
) -> int:
    """Ask for one thing and show the answer."""
    path = f"{noun.plural}/{below}".rstrip("/")
    body = _body(client, plurals, verb, given) if verb.fields else None
    if verb.method != "GET" and given.dry_run:
        output.record({"request": f"{verb.method} /api/v1/{path}", "body": body}, given.column, given.format)
        return 0
    answer = client.call(verb.method, path, body if body is not None else ({} if verb.method == "POST" else None))
    if verb.method != "GET" and given.wait and isinstance(answer, dict) and "job" in answer:
        answer = client.wait(answer["job"], given.timeout)
    return _show(answer, given)


def _show(answer: Any, given: argparse.Namespace) -> int:
    """Show an answer; what holds one list alone is that list. A check that lacks something fails."""
    if not isinstance(answer, dict):
        return 0
    lists = [one for one in answer.values() if isinstance(one, list)]
    if len(answer) == 1 and lists and all(isinstance(one, dict) for one in lists[0]):
        known = list(lists[0][0]) if lists[0] else []
        columns = given.column or ([] if given.format in ("json", "yaml") else _scalars(lists[0], known))
        output.rows(lists[0], columns, given.format)
        return 1 if any(one.get("state") == "missing" for one in lists[0]) else 0
    output.record(answer, given.column, given.format)
    return 0


def _scalars(items: Sequence[Mapping[str, Any]], known: Sequence[str]) -> list[str]:
    return [name for name in known if not any(isinstance(item[name], list | dict) for item in items)]


def _body(client: Client, plurals: Sequence[str], verb: Verb, given: argparse.Namespace) -> dict[str, Any]:
    typed = {
        key.partition(":")[2]: text
        for key, text in vars(given).items()
        if key.startswith("field:") and text is not None
    }
    for pair in given.set:
        path, equals, text = pair.partition("=")
        if not equals:
            raise Invalid(f"{pair} is not of the form PATH=VALUE.")
        typed[path] = text
    body = _from_file(given.from_file) if given.from_file else {}
    made = values.body(client, plurals, {field.path: field for field in verb.fields}, typed)
    return _over(body, made)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise Invalid(f"{path} cannot be read as JSON: {problem}") from problem
    if not isinstance(body, dict):
        raise Invalid(f"{path} does not hold an object.")
    return body


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one body over another, object by object."""
    made = dict(below)
    for key, value in above.items():
        inner = made.get(key)
        made[key] = _over(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return made
