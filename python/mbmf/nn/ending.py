"""PyTorch at work in a daemon thread when Python ends.

Python would end the thread within PyTorch, which ends the process by SIGABRT. So such a thread stops between
two pieces of its work, and is waited for; the C++ core needs no such help (bindings/gil.h).
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator

# that is waited for a thread, at the end of Python, to come to the end of a piece of work
_PATIENCE = 5.0

_ending = False
_at_work: set[int] = set()  # threads, but for the main one


@contextlib.contextmanager
def torch_at_work() -> Iterator[None]:
    """Around work of this thread by PyTorch, which calls `between_pieces` often."""
    me = threading.get_ident()
    inner = me in _at_work or threading.current_thread() is threading.main_thread()
    if inner:
        yield
        return
    _at_work.add(me)
    try:
        between_pieces()
        yield
    finally:
        _at_work.discard(me)


def between_pieces() -> None:
    """Stays here for good if Python ends and this thread would be in its way."""
    if _ending and (me := threading.get_ident()) in _at_work:
        _at_work.discard(me)
        _never.acquire()


_never = threading.Lock()
_never.acquire()


@atexit.register
def _end() -> None:
    global _ending
    _ending = True
    end = time.monotonic() + _PATIENCE
    while _at_work and time.monotonic() < end:
        time.sleep(0.001)
