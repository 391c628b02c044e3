"""Servers that accept connections and say nothing more."""

import os
import signal
import subprocess
from typing import Any


def halt(process: "subprocess.Popen[Any]") -> None:
    """Stop a server with all that it has started, and wait until it is: before that it may answer still."""
    _send(process, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


def go_on(process: "subprocess.Popen[Any]") -> None:
    """Let it work again."""
    _send(process, signal.SIGCONT)


def _send(process: "subprocess.Popen[Any]", number: int) -> None:
    leads = os.getpgid(process.pid) == process.pid
    os.killpg(process.pid, number) if leads else process.send_signal(number)
