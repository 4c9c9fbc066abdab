"""Ctrl-C while the command ``mbmf`` imports: it ends at once, without a traceback. Nothing is open yet.

Python would raise KeyboardInterrupt within whatever is being imported, and compiled modules make other errors
of it.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys


def end_at_once() -> None:
    """Where this process is the command, Ctrl-C ends it, until `hear`; one that is ignored stays so."""
    named = os.path.basename((sys.argv or [""])[0]) == "mbmf"
    command = named or ("-m", "mbmf.cli.main") in itertools.pairwise(sys.orig_argv)
    if command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def hear() -> None:
    """From here on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
