"""The options of commands that plan: another search, horizon or number of candidates than the task's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mbmf.errors import ConfigError
from mbmf.words import show

if TYPE_CHECKING:
    from mbmf.tasks.task import Task

#: for a field ``set``
SET: dict[str, Any] = {"metavar": "KEY=VALUE..."}
#: for a field ``recipe``
RECIPE: dict[str, Any] = {"metavar": "NAME"}


@dataclass(frozen=True, kw_only=True)
class PlannerOptions:
    """Fields that commands share; see `mbmf.tasks.searches` for what searches there are."""

    search: str | None = None
    """How plans are searched: random_shooting, cem, icem or mppi, with that search's defaults (default: as
    the task's file says)."""

    horizon: int | None = None
    """Steps of a candidate (default: the task's)."""

    candidates: int | None = None
    """Candidates of a plan's first round (default: the task's, or the search's where that is another)."""

    set: tuple[str, ...] = field(default=(), metadata=SET)
    """Settings in place of the task's, as in its file: planner.std=0.8 reward[0].weight=2. What is
    read stays as it is."""

    def _warn_of_schedule(self, task: Task) -> None:
        """Says which of these count only until the task's schedule takes the place of them."""
        words = [word for word in self.set if not word.startswith("schedule")]
        if len(words) < len(self.set):
            return
        given = {word.split("=")[0].split(".")[0].split("[")[0] for word in words}
        if (self.search, self.horizon, self.candidates) != (None, None, None):
            given.add("planner")
        for each in task.config.schedule or ():
            replaced = sorted(given & each.sections.keys())
            given -= each.sections.keys()
            if replaced:
                warnings.warn(
                    f"{' and '.join(replaced)} of the task's schedule takes the place of what was given from "
                    f"iteration {each.first_iteration} on; --set schedule=null prevents that",
                    stacklevel=3,
                )

    def applied_to_learned(self, task: Task) -> Task:
        """As `applied_to`, for a run's task whose model, value and policy are there already.

        Raises ConfigError, also where one of them would have been learned otherwise.
        """
        from mbmf.tasks.learned import learned_otherwise

        changed = self.applied_to(task)
        for key, found, given in learned_otherwise(task, changed):
            raise ConfigError(
                f"--set {key} must be {show(found)}, as the run was made with: what it learned does not "
                f"change, got {show(given)}"
            )
        return changed

    def applied_to(self, task: Task) -> Task:
        """The task with these in place of its own. Raises ConfigError."""
        from mbmf.tasks.settings import changed_task

        words = self.set
        self._warn_of_schedule(task)
        try:
            if (
                self.search is not None
                and task.with_planner(self.search).planner.search != task.planner.search
            ):
                # before the other settings, which may be of that search
                section = task.config.planner
                horizon = f", horizon: {section.horizon}" if section and section.horizon else ""
                words = (f"planner={{search: {self.search}{horizon}}}", *words) if words else words
            task = changed_task(task, words)
            return task.with_planner(self.search, self.horizon, self.candidates)
        except ConfigError as error:
            raise ConfigError(str(error).replace(f"{task.name}: planner.", "--")) from None
