"""What a session's account may do on the desktop besides: to administer it, to come by RDP. By groups, as long as the session lasts.

A membership is noted before it is made, and only what was noted is taken away: what an account has by itself stays.
"""

import grp
import logging
import pwd
import re
from typing import Iterable, List, Optional, Sequence

from portico.agent.config import ADMINISTRATOR, RDP, Settings
from portico.agent.linux import run
from portico.agent.state import State

log = logging.getLogger("portico.agent")

# The groups that systems have for it; the first that is there counts.
USUAL = {ADMINISTRATOR: ("sudo", "wheel", "admin"), RDP: ("tsusers",)}
_FIRST_ORDINARY_UID = 1000
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}$")


class Rights:
    """Gives rights to the accounts of sessions, and takes them back."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state

    def settle(self, account: str, rights: Iterable[str]) -> List[str]:
        """Make an account have just these rights of us; returns those that it has now, by us or by itself."""
        if not _is_ordinary(account):
            return []
        wanted = {right: self._group(right) for right in rights if right in USUAL}
        groups = [group for group in wanted.values() if group]
        for group in self._state.groups().get(account, []):
            if group not in groups:
                self._leave(account, group)
        for group in groups:
            if not _is_in(account, group):
                self._state.note_group(account, group)
                if run(["gpasswd", "-a", account, group], None) is None:
                    log.error("right not given account=%s group=%s", account, group)
        return [right for right, group in wanted.items() if group and _is_in(account, group)]

    def take_back(self) -> None:
        """Take back all that we have given: no session lasts."""
        for account in self._state.groups():
            self.settle(account, ())

    def _leave(self, account: str, group: str) -> None:
        if _is_in(account, group) and run(["gpasswd", "-d", account, group], None) is None:
            log.error("right not taken back account=%s group=%s", account, group)
            return  # it stays noted, and the next look tries again
        self._state.forget_group(account, group)

    def _group(self, right: str) -> str:
        names = [self._settings.groups[right]] if right in self._settings.groups else USUAL[right]
        return next((name for name in names if _members(name) is not None), "")


def _is_ordinary(account: str) -> bool:
    """Tell whether an account is one that people use: never root, never a daemon's."""
    try:
        return bool(_NAME.match(account)) and pwd.getpwnam(account).pw_uid >= _FIRST_ORDINARY_UID
    except KeyError:
        return False


def _is_in(account: str, group: str) -> bool:
    return account in (_members(group) or ())


def _members(group: str) -> Optional[Sequence[str]]:
    try:
        return grp.getgrnam(group).gr_mem
    except KeyError:
        return None
