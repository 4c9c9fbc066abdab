"""Ranges of options, checked before anything is made."""

from __future__ import annotations

from mbmf.errors import ConfigError


def check_limits(options: object, **limits: int) -> None:
    """Raises ConfigError if an option is above its limit."""
    for name, limit in limits.items():
        value = getattr(options, name)
        if value is not None and value > limit:
            raise ConfigError(f"--{name} must be at most {limit}, got {value}")
