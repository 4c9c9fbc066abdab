"""The planner that a task's file asks for: the one place that chooses among the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mbmf import _core
from mbmf.arguments import a_task
from mbmf.planning.cem import CEM
from mbmf.planning.icem import ICEM
from mbmf.planning.mppi import MPPI
from mbmf.planning.plan import HasCore, PathLike, SimulatorModel
from mbmf.planning.planner import Planner
from mbmf.planning.random_shooting import RandomShooting
from mbmf.tasks.searches import search_kind, search_values
from mbmf.tasks.task import Task

if TYPE_CHECKING:
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.values.value import ValueFunction

_CLASSES: dict[str, type[Planner]] = {
    "random_shooting": RandomShooting,
    "cem": CEM,
    "icem": ICEM,
    "mppi": MPPI,
}


def make_planner(
    task: Task,
    model: HasCore | _core.Dynamics | SimulatorModel,
    search: str | None = None,
    horizon: int | None = None,
    candidates: int | None = None,
    seed: int = 0,
    nthread: int = 0,
    *,
    path: PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    value: ValueFunction | None = None,
    policy: GaussianPolicy | None = None,
    proposals: int | None = None,
) -> Planner:
    """A planner as the task's file says (its ``planner`` section), or with what is given in its place.

    Args:
      task, model, horizon, candidates, seed, nthread, path, value, policy, proposals: see
        :class:`mbmf.Planner`.
      search: the name of another search than the file's, with that search's defaults.
      settings: of the search, by name, in place of the file's.

    Raises:
      ValueError: an unknown search or setting, which names the nearest; and as :class:`mbmf.Planner`.

    Example:
      >>> planner = mbmf.make_planner(task, model, "icem", settings={"colour": 2.0})
    """
    a_task("task", task)
    of_file = task.planner
    name = search_kind(of_file.search if search is None else search).name
    values = {**(of_file.settings if name == of_file.search else {}), **(settings or {})}
    search_values(name, values)  # names what is wrong
    make: Any = _CLASSES[name]
    named = {"path": path, "value": value, "policy": policy, "proposals": proposals}
    found: Planner = make(task, model, horizon, candidates, seed=seed, nthread=nthread, **named, **values)
    return found
