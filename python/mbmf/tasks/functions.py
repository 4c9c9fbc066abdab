"""Reward and cost functions of users: what they return is checked, and those that files name are found."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mbmf.errors import ConfigError, DataError

FloatArray = npt.NDArray[np.floating[Any]]
RewardFunction = Callable[[FloatArray, FloatArray], npt.ArrayLike]


class CheckedFunction:
    """A user's reward or cost function, whose results are checked: finite, one number a row."""

    def __init__(self, name: str, function: RewardFunction) -> None:
        self.name = name
        self.function = function

    def __call__(self, states: FloatArray, actions: FloatArray) -> npt.NDArray[np.float64]:
        """states (n, ...), actions (n, ...) -> (n,) float64. Raises DataError on another shape or NaN.

        The cost of states that are not finite may be infinite or NaN: it is infinite then.
        """
        result = self.function(states, actions)
        try:
            array = np.asarray(result, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{self.name} must return numbers, got {type(result).__name__}") from None
        if array.shape != states.shape[:1]:
            raise DataError(f"{self.name} must return shape {states.shape[:1]}, got {array.shape}")
        finite = np.isfinite(array)
        if self.name == "cost" and not finite.all():
            # a candidate whose predictions overflow is none, as with costs of terms
            lost = ~finite & ~np.isfinite(states).reshape(len(states), -1).all(axis=1)
            array, finite = np.where(lost, np.inf, array), finite | lost
        if not finite.all():
            bad = int(np.flatnonzero(~finite)[0])
            raise DataError(f"{self.name} must return finite numbers, got {array[bad]} in row {bad}")
        return array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CheckedFunction) and self.function == other.function

    def __hash__(self) -> int:
        return hash((self.name, self.function))


#: the environment variable with the modules, separated by commas, that task files may name functions of
ALLOWED = "MBMF_FUNCTIONS"


def named_function(name: str, what: str) -> RewardFunction:
    """The function that a task file names as module:function; modules of the current folder are found too.

    A file must not choose what code runs: files come with runs, policies and models of others. So the module
    must be one of those that the environment variable MBMF_FUNCTIONS names.

    Args:
        name: module:function, as `mbmf.tasks.fields.FunctionName` takes it.
        what: the file and the key, for messages.

    Raises ConfigError if the module is not allowed or cannot be imported, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    if module_name not in os.environ.get(ALLOWED, "").replace(",", " ").split():
        raise ConfigError(
            f"{what} must be of a module that you allow, since it is code that runs: set "
            f"{ALLOWED}={module_name} in the environment, got {name}"
        )
    here = os.getcwd()
    sys.path.append(here)  # last: what is installed comes before a file of that name
    try:
        module = importlib.import_module(module_name)
    # whatever its code raises
    except Exception as error:
        raise ConfigError(
            f"{what} must be of a module that Python can import, got {name}: {type(error).__name__}: {error}"
        ) from error
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(here)]
    function = getattr(module, function_name, None)
    if not callable(function):
        near = difflib.get_close_matches(function_name, vars(module), n=1)
        hint = f"; nearest: {near[0]}" if near else ""
        raise ConfigError(f"{what} must be a function of {module.__file__}, got {function_name}{hint}")
    found: RewardFunction = function
    return found
