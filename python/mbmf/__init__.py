"""Learn a robot's dynamics from minutes of data and control it with model-predictive control.

Everything public is listed in ``__all__`` and is imported when it is first used, so that ``import mbmf`` is
fast and PyTorch is loaded only by what trains. Importing it registers Gymnasium environments,
from ``mbmf/Swimmer-v0`` to ``mbmf/GymHalfCheetah-v5`` (docs/gym_tasks.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mbmf import start as _start

# before anything that takes time
_start.end_at_once()

if TYPE_CHECKING:
    from mbmf.control.controller import Controller as Controller
    from mbmf.dynamics.model import DynamicsModel as DynamicsModel
    from mbmf.dynamics.model import FitResult as FitResult
    from mbmf.errors import CoreError as CoreError
    from mbmf.errors import MbmfError as MbmfError
    from mbmf.planning.cem import CEM as CEM
    from mbmf.planning.icem import ICEM as ICEM
    from mbmf.planning.make import make_planner as make_planner
    from mbmf.planning.mppi import MPPI as MPPI
    from mbmf.planning.own import Search as Search
    from mbmf.planning.plan import Plan as Plan
    from mbmf.planning.plan import PlanMemory as PlanMemory
    from mbmf.planning.plan import SimulatorModel as SimulatorModel
    from mbmf.planning.planner import Planner as Planner
    from mbmf.planning.random_shooting import RandomShooting as RandomShooting
    from mbmf.policies.batch import PolicyBatch as PolicyBatch
    from mbmf.policies.policy import GaussianPolicy as GaussianPolicy
    from mbmf.rollouts.collect import collect_mpc as collect_mpc
    from mbmf.rollouts.collect import collect_policy as collect_policy
    from mbmf.rollouts.collect import collect_random as collect_random
    from mbmf.rollouts.episodes import Episodes as Episodes
    from mbmf.runs.trained import Trained as Trained
    from mbmf.runs.trained import load_trained as load_trained
    from mbmf.simulation.simulator import Simulator as Simulator
    from mbmf.tasks.load import load_task as load_task
    from mbmf.tasks.task import Task as Task
    from mbmf.values.value import ValueFunction as ValueFunction

__version__ = "0.1.0"

_MODULE_OF = {
    "CEM": "planning.cem",
    "Controller": "control.controller",
    "CoreError": "errors",
    "DynamicsModel": "dynamics.model",
    "Episodes": "rollouts.episodes",
    "FitResult": "dynamics.model",
    "GaussianPolicy": "policies.policy",
    "ICEM": "planning.icem",
    "MPPI": "planning.mppi",
    "MbmfError": "errors",
    "Plan": "planning.plan",
    "PlanMemory": "planning.plan",
    "Planner": "planning.planner",
    "PolicyBatch": "policies.batch",
    "RandomShooting": "planning.random_shooting",
    "Search": "planning.own",
    "Simulator": "simulation.simulator",
    "SimulatorModel": "planning.plan",
    "Task": "tasks.task",
    "Trained": "runs.trained",
    "ValueFunction": "values.value",
    "collect_mpc": "rollouts.collect",
    "collect_policy": "rollouts.collect",
    "collect_random": "rollouts.collect",
    "load_task": "tasks.load",
    "load_trained": "runs.trained",
    "make_planner": "planning.make",
}

__all__ = [
    "CEM",
    "ICEM",
    "MPPI",
    "Controller",
    "CoreError",
    "DynamicsModel",
    "Episodes",
    "FitResult",
    "GaussianPolicy",
    "MbmfError",
    "Plan",
    "PlanMemory",
    "Planner",
    "PolicyBatch",
    "RandomShooting",
    "Search",
    "Simulator",
    "SimulatorModel",
    "Task",
    "Trained",
    "ValueFunction",
    "__version__",
    "collect_mpc",
    "collect_policy",
    "collect_random",
    "load_task",
    "load_trained",
    "make_planner",
]

# the release whose headers and library the extension is built with (pyproject.toml pins the same one)
_MUJOCO = "4.0.0"


def _load_core() -> None:
    """Imports the extension, and turns what can go wrong with its MuJoCo into an instruction."""
    remedy = f"this build of mbmf needs MuJoCo {_MUJOCO}; run `pip install mujoco=={_MUJOCO}`"
    try:
        from mbmf import _core
    except ImportError as error:
        if "libmujoco" not in str(error):
            raise
        raise ImportError(f"{remedy} ({error})") from error
    linked, loaded = _core.mujoco_version(), _core.mujoco_version_loaded()
    if linked != loaded:
        raise ImportError(f"MuJoCo {loaded} is loaded, but {remedy}")


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'mbmf' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"mbmf.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    # what is offered, and what Python gives every module; not what this one is made of
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})


_load_core()
importlib.import_module("mbmf.opengl").import_mujoco()
# makes the Gymnasium ids known; the environments are imported when one is made
importlib.import_module("mbmf.simulation.registration")
