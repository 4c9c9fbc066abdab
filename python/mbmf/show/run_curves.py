"""The learning curves of runs on the disk: which there are, what is missing, and `Curve`s of the rest."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mbmf.errors import DataError
from mbmf.policies.policy import GaussianPolicy, fingerprint
from mbmf.runs.configuration import comparable, first_difference
from mbmf.runs.layout import CONFIG, METRICS
from mbmf.runs.run import Run
from mbmf.show.learning_curves import Curve, Series, mean_curve
from mbmf.words import counted, show

Note = Callable[[str], None]

# what a method's curve depends on, of a task; and what says only how far it goes
_OF_CONTROLLER = ("model_based", "planner", "dynamics", "value", "policy")
_HOW_FAR = {"model_based": ("iterations", "rollouts_to_save"), "model_free": ("iterations",)}


def read_curves(
    task: str,
    runs: Sequence[Path],
    mf_runs: Sequence[Path],
    *,
    std: float | None = None,
    number: int | None = None,
    note: Note = warnings.warn,
) -> dict[str, Curve]:
    """MB, MBMF and MF of a task, as far as they are on the disk.

    Args:
        task: the name of the runs' task.
        runs: directories of ``mbmf mb``, one of each seed, with what ``mbmf mbmf`` left there.
        mf_runs: directories of ``mbmf mf``.
        std: which fine-tuning: that which began with this standard deviation; None: whichever there is.
        number: which fine-tuning, by its --save_trpo_run_num; None: where there are several, the longest.
        note: is told what is missing or unfinished, in one line each.

    Raises DataError if nothing is there, or a run is damaged or of another task.
    """
    found: dict[str, list[Series]] = {"MB": [], "MBMF": [], "MF": []}
    missing: list[str] = []
    others: list[str] = []
    _note_other_settings(runs, _OF_CONTROLLER, others.append)
    _note_other_settings(mf_runs, ("model_free",), others.append)
    imitations = [path / "imitation" for path in runs if Run(path / "imitation").exists]
    _note_other_settings(imitations, (), others.append)
    fine_tuned: list[Path] = []
    for path in runs:
        mb = _series(path, "model_based", task, missing.append)
        if mb is None:
            continue
        found["MB"].append(mb)
        tuned = _fine_tuning(path, std, number, missing.append, fine_tuned)
        if tuned is None:
            continue
        steps_before = tuned.steps[0]
        imitation = _series(path / "imitation", "imitation", task, missing.append)
        if imitation is not None and imitation.steps[0] < steps_before:
            mb = mb.followed_by(imitation)
        found["MBMF"].append(mb.followed_by(tuned))
    for path in mf_runs:
        mf = _series(path, "model_free", task, missing.append)
        if mf is not None:
            found["MF"].append(mf)
    _note_other_settings(fine_tuned, (), others.append)
    if not any(found.values()):
        raise DataError(
            "there must be a run to plot, got none: " + ("; ".join(missing) or "no directory of one")
        )
    for line in (*others, *missing):
        note(line)
    curves, problems = {}, []
    for method, series in found.items():
        if not series:
            continue
        try:
            curves[method] = mean_curve(series)
        except DataError as error:  # the other methods have theirs all the same
            problems.append(f"{method} is left out: {error}")
    if not curves:
        raise DataError("; ".join(problems))
    for problem in problems:
        note(problem)
    return curves


def fine_tuning_curve(paths: Sequence[Path]) -> Curve | None:
    """MBMF's fine-tuning alone, over the seeds' run directories; None if no iteration of any is finished.

    Raises DataError if a run is damaged or there is none.
    """
    found = [_of_run(Run(path)) for path in paths]
    series = [each for each in found if each is not None]
    return mean_curve(series) if series else None


def find_runs(
    folder: Path,
    pattern: str,
    task: str,
    seeds: Sequence[int] | None = None,
    *,
    algorithm: str | None = None,
) -> list[Path]:
    """The run directories ``folder``/``pattern`` of a task, by seed.

    With ``seeds`` or ``algorithm`` those of these alone.

    One of each seed: where there are several, that with the most control steps. Damaged ones are passed over.
    """
    best: dict[int, tuple[float, Path]] = {}
    for path in sorted(folder.glob(pattern)):
        try:
            config = Run(path).config()
            length = _length(Series.of_records(Run(path).metrics(), str(path)))
        except DataError:
            continue
        seed = config.get("seed")
        if (
            _task_name(config) != task
            or algorithm not in (None, config.get("algorithm"))
            or not isinstance(seed, int)
            or (seeds is not None and seed not in seeds)
        ):
            continue
        if seed not in best or length > best[seed][0]:
            best[seed] = (length, path)
    return [best[seed][1] for seed in sorted(best)]


def _note_other_settings(paths: Sequence[Path], sections: tuple[str, ...], note: Note) -> None:
    """A mean over seeds is one of runs that differ in nothing else."""
    first: tuple[Path, dict[str, Any]] | None = None
    for path in paths:
        try:
            config = Run(path).config()
        except DataError:
            continue  # what is wrong with it is said where it is read
        settings: dict[str, Any] = {"task": dict(comparable(config, sections).get("task") or {})}
        own = config.get("settings")
        if isinstance(own, dict):
            settings["settings"] = {key: own[key] for key in own if key != "iterations"}
        for section, keys in _HOW_FAR.items():
            if isinstance(found := settings["task"].get(section), dict):
                settings["task"][section] = {key: found[key] for key in found if key not in keys}
        if first is None:
            first = path, settings
        elif (difference := first_difference(first[1], settings)) is not None:
            key, old, new = difference
            note(
                f"{path}: {key} is {show(new)}, and {show(old)} in {first[0]}: seeds of different experiments"
            )


def not_finished(path: Path, iterations: int) -> str:
    """What is said of a run that goes on."""
    shown = counted(iterations, "iteration is", "iterations are")
    return f"{path}: the run is not finished, {shown} shown"


def _series(path: Path, algorithm: str, task: str, note: Note) -> Series | None:
    """The curve of one run, or None and a note."""
    run = Run(path)
    if not run.exists:
        note(f"{path}: there is no run")
        return None
    config = run.config()
    if config.get("algorithm") != algorithm:
        raise DataError(f"{path}: algorithm must be {algorithm}, got {config.get('algorithm')}")
    if _task_name(config) != task:
        raise DataError(f"{path}: task must be {task}, got {_task_name(config)}")
    records = run.metrics()
    series = _of_run(run)
    if series is None:
        note(f"{path}: no iteration is finished")
        return None
    _check(run)
    if run.summary() is None:
        note(not_finished(path, len(records)))
    return series


def _fine_tuning(
    path: Path, std: float | None, number: int | None, note: Note, used: list[Path]
) -> Series | None:
    """The curve of TRPO that went on from the imitation policy of the run at ``path``.

    used: gets the folder that it is of.
    """
    found: list[tuple[Path, Run, Series | None]] = []
    others, imitation = set(), _imitation_policy(path)
    for folder in sorted(path.glob("mbmf_*")):
        run = Run(folder)
        if not run.exists:
            continue
        if imitation is not None and run.config().get("imitation_policy") not in (None, imitation):
            note(f"{folder}: went on from an imitation policy that was replaced since, and is left out")
            continue
        begins = run.config().get("settings", {}).get("initial_std")
        fits = std is None or (isinstance(begins, float | int) and abs(begins - std) <= 1e-9 * std)
        if fits and (number is None or folder.name.endswith(f"_{number}")):
            found.append((folder, run, _of_run(run)))
        else:
            others.add(folder.name)
    if not found:
        flags = {"--std_on_mlp_policy": std, "--save_trpo_run_num": number}
        wanted = " and ".join(f"{flag}={value:g}" for flag, value in flags.items() if value is not None)
        hint = f" (there is {', '.join(sorted(others))})" if others else ""
        note(f"{path}: there is no fine-tuning{wanted and ' with '}{wanted}{hint}: mbmf mbmf makes it")
        return None
    folder, run, series = max(found, key=lambda each: _length(each[2]))
    if len(found) > 1:
        note(
            f"{folder}: the longest of {len(found)} is shown; "
            "mbmf plot mbmf --save_trpo_run_num takes another"
        )
    if series is None:
        note(f"{folder}: no iteration is finished")
        return None
    _check(run)
    used.append(folder)
    if run.summary() is None:
        note(not_finished(folder, len(series.steps)))
    return series


def _imitation_policy(path: Path) -> str | None:
    """Tells which policy the run at ``path`` has from its imitation; None if there is none."""
    try:
        return fingerprint(GaussianPolicy.load(path / "imitation/policy/policy.safetensors"))
    except (DataError, OSError):
        return None


def _of_run(run: Run) -> Series | None:
    """The curve of a run's records; None if no iteration has a reward."""
    series, summary = Series.of_records(run.metrics(), str(run.path)), run.summary()
    if series is None or summary is None:
        return series
    return dataclasses.replace(series, holds=bool(summary.get("stopped_at_reward")))


def _check(run: Run) -> None:
    """Raises DataError if what a curve is made of was changed."""
    for name in (CONFIG, METRICS):
        run.check(run.path / name)


def _length(series: Series | None) -> float:
    """In control steps."""
    return float(series.steps[-1]) if series is not None else 0.0


def _task_name(config: dict[str, Any]) -> str | None:
    task = config.get("task")
    return task.get("name") if isinstance(task, dict) else None
