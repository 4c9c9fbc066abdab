"""What drives a robot in `mbmf evaluate` and `mbmf video`: a policy, or a run's controller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mbmf.cli.runs import run_path
from mbmf.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mbmf.dynamics.model import DynamicsModel
    from mbmf.planning.planner import Planner
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.rollouts.episodes import Episodes
    from mbmf.tasks.task import Task

Progress = Callable[[int], object]
NEWEST = "newest"


@dataclass(frozen=True)
class Policy:
    """A trained policy, which acts by its mean.

    Attributes:
        name: what it is called.
        folder: of the run that it is of.
        task, policy: itself.
        allow_other_task: the robot may be another by now.
    """

    name: str
    folder: Path
    task: Task
    policy: GaussianPolicy
    allow_other_task: bool = False

    def drive(self, episodes: int, steps: int, seed: int, nthread: int, progress: Progress) -> Episodes:
        """Episodes from the starts that a controller has with this seed."""
        from mbmf.rollouts.collect import collect_policy

        return collect_policy(
            self.task,
            self.policy,
            episodes=episodes,
            max_episode_steps=steps,
            seed=seed,
            nthread=nthread,
            std=0.0,
            kind="control",
            keep_states=True,
            progress=progress,
            allow_other_task=self.allow_other_task,
        ).to_episodes(self.task)


@dataclass(frozen=True)
class Mpc:
    """A run's planner with one of its models."""

    name: str
    folder: Path
    task: Task
    model: DynamicsModel
    planner: Planner

    def drive(self, episodes: int, steps: int, seed: int, nthread: int, progress: Progress) -> Episodes:
        """Episodes of the planner's actions, without noise."""
        from mbmf.rollouts.collect import collect_mpc

        return collect_mpc(self.task, self.planner, episodes, steps, seed=seed, progress=progress)


def open_policy(
    runs_dir: Path, run_num: str | None, policy: str | None, *, allow_other_task: bool = False
) -> Policy:
    """A policy's file; the policy in a run's folder; or with "newest" that of the run ``run_num``.

    Raises ConfigError, DataError.
    """
    from mbmf.runs.run import Run

    if policy in (None, NEWEST):
        if run_num is None:
            raise ConfigError(f"--run_num must say whose policy, with --policy={NEWEST}, got none")
        path = find_policy(run_path(runs_dir, run_num))
    else:
        assert policy is not None
        if run_num is not None:
            raise ConfigError(
                f"--run_num must be left out with the policy of a file or folder, --policy={policy}; "
                f"--policy={NEWEST} is the run's own, got {run_num}"
            )
        path = Path(policy)
        if path.is_dir():
            path = find_policy(path)
        elif not path.is_file():
            raise DataError(f"--policy must be a policy file, a run's folder, or {NEWEST}, got {policy}")
    loaded = read_policy(path)
    folder = path.parent.parent if path.parent.name == "policy" else path.parent
    if Run(folder).exists:
        Run(folder).check(path)
    name = folder.name if path.parent.name == "policy" else path.stem
    return Policy(name, folder, loaded.load_task(), loaded, allow_other_task)


def read_policy(path: Path) -> GaussianPolicy:
    """The policy of a file; where TRPO's run was killed or is still going on, as after its last iteration.

    Raises DataError, OSError.
    """
    from mbmf.algorithms import checkpoint
    from mbmf.policies.policy import GaussianPolicy
    from mbmf.runs.run import Run

    policy, run = GaussianPolicy.load(path), Run(path.parent.parent)
    latest = run.policy("checkpoint")
    is_of_trpo = run.exists and run.config().get("algorithm") in ("model_free", "fine_tune")
    if path == run.policy("policy") and is_of_trpo and latest.is_file():
        run.check(latest)
        checkpoint.load(latest, policy)
    return policy


def find_policy(run: Path) -> Path:
    """The policy of a run: its own, that of its newest fine-tuning, or else of imitation.

    Raises DataError without one, and where a policy is gone that would be taken: an older one is not it.
    """
    from mbmf.runs.layout import others
    from mbmf.runs.manifest import Manifest

    if not run.is_dir():
        raise DataError(f"{run}: run must exist, got none{others(run)}")
    name = "policy/policy.safetensors"
    tuned = sorted(run.glob("mbmf_*/"), key=lambda folder: _time_of(folder / name, folder))
    for folder in (run, *reversed(tuned), run / "imitation"):
        path = folder / name
        if path.is_file():
            return path
        manifest = Manifest(folder)
        if name in manifest.names:
            manifest.check(path)
        if "policy/checkpoint.safetensors" in manifest.names:
            raise DataError(
                f"{path}: policy must be there, got a run that was killed before it was written: go on with "
                "it by --resume"
            )
    raise DataError(f"{run}: run must have a policy, got none: mbmf mbmf learns one")


def _time_of(path: Path, folder: Path) -> float:
    return (path if path.is_file() else folder).stat().st_mtime


def open_mpc(
    path: Path,
    change: Callable[[Task], Task],
    iteration: int | None = None,
    seed: int = 0,
    nthread: int = 0,
    *,
    allow_other_task: bool = False,
) -> Mpc:
    """The controller of the run of mbmf mb at ``path``, of its last iteration or another one.

    ``change`` is applied to the run's task. Raises ConfigError, DataError.
    """
    from mbmf.planning.make import make_planner
    from mbmf.runs.trained import load_trained

    trained = load_trained(path, iteration, allow_other_task=allow_other_task)
    task = change(trained.task)
    helps: dict[str, Any] = {"value": trained.value, "policy": trained.policy}
    planner = make_planner(task, trained.model, seed=seed, nthread=nthread, **helps)
    return Mpc(f"iteration_{trained.iteration}", path, task, trained.model, planner)


def algorithm_of(path: Path) -> str | None:
    """What made the run at ``path``. Raises DataError if there is none."""
    from mbmf.runs.run import Run

    found = Run(path).config().get("algorithm")
    return found if isinstance(found, str) else None


def steps_of(task: Task, run: Path | None = None) -> int:
    """Control steps of an episode at most, as its controller drives, or as the policy of ``run`` learned."""
    from mbmf.runs.run import Run

    if run is not None and Run(run).exists:
        config = Run(run).config()
        settings = config.get("settings")
        if config.get("algorithm") in ("model_free", "fine_tune") and isinstance(settings, dict):
            steps = settings.get("steps_per_rollout")
            if isinstance(steps, int):
                return steps
    return task.model_based.steps_per_rollout if task.model_based is not None else task.episode_steps
