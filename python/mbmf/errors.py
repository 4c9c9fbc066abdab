"""The errors that mbmf raises on purpose. Anything else that escapes is a defect.

`MbmfError` is the base of those about files, tasks and runs. Wrong arguments are plain ValueErrors, things of
another kind TypeErrors; failures of the C++ core while it runs are `CoreError` (a RuntimeError).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mbmf._core import Error as CoreError

__all__ = ["ClusterError", "ConfigError", "CoreError", "DataError", "MbmfError"]


class MbmfError(Exception):
    """The base of this package's errors."""


class ConfigError(MbmfError, ValueError):
    """A task or preset file that is wrong.

    The message names the file, the key, the requirement and the value, a line for each thing that is wrong.
    """


class DataError(MbmfError, ValueError):
    """Data, a model file or a run directory that is wrong or does not fit the task."""


class ClusterError(MbmfError, RuntimeError):
    """A cluster cannot do the work: none is there, one is too small or another machine, or work was lost."""


def __getattr__(name: str) -> object:
    # the core is loaded by whoever needs its error, not by everyone who needs ours
    if name == "CoreError":
        from mbmf._core import Error

        return Error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
