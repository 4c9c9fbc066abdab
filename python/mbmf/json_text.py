"""JSON of files: one reader, with limits."""

from __future__ import annotations

import json
from typing import Any

from mbmf.errors import DataError

MAX_BYTES = 64 << 20


def parse_json(text: str | bytes, what: str, *, infinite: bool = False) -> Any:
    """The value of a JSON text, ``what`` in messages: a file's name and what it is.

    infinite: NaN and Infinity may be in it.

    Raises DataError if it is too long, not UTF-8, nested too deeply, or not JSON.
    """
    if len(text) > MAX_BYTES:
        raise DataError(f"{what} must be at most {MAX_BYTES >> 20} MiB of JSON, got {len(text) >> 20}")
    try:
        if isinstance(text, bytes):
            text = text.decode()
        return json.loads(text, parse_constant=None if infinite else _refuse)
    except UnicodeDecodeError as error:
        raise DataError(f"{what} must be UTF-8 text, got a wrong byte at {error.start}") from None
    except RecursionError:
        raise DataError(f"{what} must be JSON that is nested less deeply") from None
    except ValueError as error:  # a number of thousands of digits, too
        raise DataError(f"{what} must be readable JSON, got: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant}, which is no number of JSON")
