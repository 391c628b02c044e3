"""How a command of the command line ends: trouble as sentences, and a status that a script can act on."""

import sys
from collections.abc import Callable

from portico.errors import Denied, Invalid, PorticoError, Unauthenticated, Unavailable


def guarded(command: Callable[[], int]) -> int:
    """Run a command; return its status, or 1 refused or failed, 2 wrong arguments, 3 nobody answers, 4 not logged in or allowed."""
    try:
        return command()
    except PorticoError as trouble:
        sys.stderr.write(f"portico: {trouble.sentence}\n")
        for name, sentence in getattr(trouble, "fields", {}).items():
            sys.stderr.write(f"  {name}: {sentence}\n")
        return _status(trouble)
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _status(trouble: PorticoError) -> int:
    if isinstance(trouble, Unauthenticated | Denied):
        return 4
    if isinstance(trouble, Unavailable):
        return 3
    return 2 if isinstance(trouble, Invalid) else 1
