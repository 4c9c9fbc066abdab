"""Tasks as run directories record them: what two runs must agree in to be of the same task."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, get_args

from mbmf.errors import ConfigError
from mbmf.tasks.file import check_task
from mbmf.tasks.schema import LEARNING_SECTIONS, TaskConfig


def comparable_task(recorded: Mapping[str, Any], sections: tuple[str, ...] = ()) -> dict[str, Any]:
    """What to compare of a task's configuration, as `Task.to_yaml` wrote it, now or in an earlier release.

    That is what the robot is and has to do, and of the learning sections only those in ``sections``. Keys
    that a newer release has in addition count with their defaults.
    """
    physical: dict[str, Any] = {key: value for key, value in recorded.items() if key not in LEARNING_SECTIONS}
    # one of another release may not pass the check: it is compared as it is
    with contextlib.suppress(ConfigError):
        physical = check_task(physical, "task").model_dump(exclude_none=True)
    return physical | {name: _section(name, recorded[name]) for name in sections if name in recorded}


def _section(name: str, recorded: Any) -> Any:
    model = get_args(TaskConfig.model_fields[name].annotation)[0]
    try:
        return model.model_validate(recorded).model_dump(exclude_none=True)
    except ValueError:
        return recorded
