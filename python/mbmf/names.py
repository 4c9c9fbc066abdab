"""Names that become files and folders: of tasks, agents, paths, and what is made of them."""

from __future__ import annotations

from mbmf.errors import ConfigError
from mbmf.words import show

# bytes; a file's name may have 255, and a name gets a number and an ending
MAX_NAME = 100
PLAIN_NAME = (
    f"a plain file name of at most {MAX_NAME} bytes (printable, no / or \\, "
    "no dot, space, - or ~ at the front, no dot or space at the end)"
)


def is_plain_name(name: object) -> bool:
    """The name is one part of a path, whatever is put before and behind it, on any file system."""
    if not isinstance(name, str) or not name or not name.isprintable():
        return False
    # surrogates are not printable, so every name here has bytes
    ends = name[0] in ". ~-" or name[-1] in ". "
    return not ends and not any(c in name for c in "/\\\0") and len(name.encode()) <= MAX_NAME


def plain_name(what: str, name: object) -> str:
    """``name``, if it is a plain file name. Raises ConfigError, in which it is called ``what``."""
    if not is_plain_name(name):
        raise ConfigError(f"{what} must be {PLAIN_NAME}, got {show(name)}")
    assert isinstance(name, str)
    return name
