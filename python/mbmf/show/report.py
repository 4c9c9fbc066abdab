"""A run as one HTML page that needs nothing else: no network, no other file (but videos too large for it)."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import os
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from mbmf.errors import DataError, MbmfError
from mbmf.files import atomic_write
from mbmf.runs.run import Record, Run
from mbmf.show.calibration import plot_calibration
from mbmf.show.learning_curves import METHODS, plot_learning_curves
from mbmf.show.run_curves import read_curves
from mbmf.show.run_figures import (
    forward_simulation_figure,
    loss_figure,
    open_model_based,
    path_figure,
    reward_figure,
)
from mbmf.tasks.task import Task
from mbmf.words import counted
from mbmf.yaml_text import read_text

_LARGEST_VIDEO = 20 << 20


@dataclasses.dataclass
class Section:
    """A part of the page."""

    id: str
    title: str
    text: str
    figures: list[dict[str, str]] = dataclasses.field(default_factory=list)
    table: list[list[str]] = dataclasses.field(default_factory=list)  # the first row is the head
    videos: list[dict[str, str]] = dataclasses.field(default_factory=list)


def write_report(path: Path, output: str | os.PathLike[str] | None = None) -> tuple[Path, list[str]]:
    """Writes the page of the run of ``mbmf mb`` at ``path``, with what ``mbmf mbmf`` added to it.

    What cannot be drawn, because the run is not finished or files are missing, is named in the page.

    Args:
        output: file to write (default: report.html in the run's directory).

    Returns:
        the file, and what the page lacks, a line each.

    Raises DataError if there is no run or no iteration is finished, OSError if the file cannot be written.
    """
    target = Path(output) if output is not None else path / "report.html"
    text, notes = report(path, target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target) as file:
        file.write(text.encode())
    return target, notes


def report(path: Path, folder: Path) -> tuple[str, list[str]]:
    """The page's HTML, to be put into ``folder``, and what it lacks. Raises DataError as `write_report`."""
    run, task, records = open_model_based(path)
    notes: list[str] = []
    sections = [
        section
        for make in (_rewards, _losses, _calibration, _forward_simulation, _paths, _policies, _videos)
        if (section := make(run, task, records, folder, notes)) is not None
    ]
    config = run.config()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mbmf.show", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    html = environment.get_template("report.html.jinja").render(
        name=path.resolve().name,
        task=task,
        status="finished"
        if run.summary() is not None
        else f"not finished, {counted(len(records), 'iteration')} so far",
        config=config,
        config_text=read_text(path / "config.yaml", DataError),
        versions=", ".join(f"{name} {version}" for name, version in (config.get("versions") or {}).items()),
        tiles=_tiles(run, records),
        sections=sections,
        notes=notes,
    )
    return html, notes


def _tiles(run: Run, records: list[Record]) -> list[tuple[str, str]]:
    last, summary = records[-1], run.summary()
    seconds = sum(each["seconds_training"] + each["seconds_control"] for each in records)
    tiles = [
        (f"reward of iteration {last['iteration']}", _spread(last["reward_mean"], last["reward_std"])),
        ("points that its model learned from", f"{last['steps_total']:,}"),
        ("aggregation iterations", str(len(records))),
        ("training and control", f"{seconds / 60:,.1f} min"),
    ]
    if summary is not None and summary.get("rollouts_saved"):
        saved = f"reward of the {summary['rollouts_saved']} saved rollouts"
        tiles.insert(1, (saved, _spread(summary["reward_mean"], summary["reward_std"])))
    return tiles


def _rewards(run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]) -> Section:
    section = Section(
        "rewards",
        "Rewards",
        "Return of an episode (sum of its rewards) of model-predictive control, by aggregation iteration.",
    )
    _draw(section, "reward by iteration", lambda: reward_figure(run.path, note=notes.append), notes)
    heads = ["iteration", "points", "reward", "lowest", "highest", "length", "diverged"]
    section.table = [[*heads, "training", "control"]]
    for record in records:
        section.table.append(
            [
                str(record["iteration"]),
                f"{record['steps_total']:,}",
                _spread(record["reward_mean"], record["reward_std"]),
                _number(min(record["returns"])),
                _number(max(record["returns"])),
                f"{record['episode_length_mean']:.0f}",
                str(record["diverged"]),
                f"{record['seconds_training']:.1f} s",
                f"{record['seconds_control']:.1f} s",
            ]
        )
    return section


def _losses(run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]) -> Section:
    section = Section(
        "losses",
        "Losses",
        "Mean squared errors of the dynamics model, in normalised states: of one step on each kind of data, "
        "and open loop on validation data.",
    )
    _draw(section, "losses by iteration", lambda: loss_figure([run.path], note=notes.append), notes)
    horizons = list(dict.fromkeys(h for record in records for h in record["validation_error"]))
    section.table = [
        ["iteration", "training", "old data", "new data", *(f"{h}-step error" for h in horizons)]
    ]
    for record in records:
        losses = (record[f"loss_{name}"] for name in ("train", "old", "new"))
        errors = (record["validation_error"].get(horizon) for horizon in horizons)
        section.table.append([str(record["iteration"]), *map(_number, (*losses, *errors))])
    return section


def _calibration(
    run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]
) -> Section | None:
    """Of a model with members or variances."""
    if not any(record.get("calibration") for record in records):
        return None
    section = Section(
        "calibration",
        "Calibration",
        "How often the truth lay within the intervals that the model predicted, one and several steps ahead: "
        "below the line the model is too sure of itself.",
    )
    _draw(section, "calibration", lambda: plot_calibration(records), notes)
    return section


def _forward_simulation(
    run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]
) -> Section | None:
    section = Section(
        "forward-simulation",
        "Forward simulation",
        "The last model's open-loop prediction of a rollout that it has not learned from, with the recorded "
        "actions, beside what happened. The band of a model with members or variances holds 90 % of its "
        "particles.",
    )
    if _draw(section, "open-loop prediction", lambda: forward_simulation_figure([run.path]), notes):
        return section
    return None


def _paths(run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]) -> Section | None:
    """The paths that the run followed, where it did."""
    others = [record for path in sorted(run.path.glob("paths/*")) for record in Run(path).metrics()]
    followed = [record for record in (*records, *others) if "tracking" in record]
    if not followed:
        return None
    section = Section(
        "paths",
        "Paths",
        "What was to be followed, and where the robot went. Distances are in metres, from the nearest "
        "point of the path.",
    )
    _draw(section, "paths", lambda: path_figure([run.path], note=notes.append), notes)
    heads = ["path", "rollout", "steps to the end", "time", "mean distance", "largest", "progress", "segment"]
    section.table = [[*heads, "heading error"]]
    for record in followed:
        tracking = record["tracking"]
        label = tracking["path"] + ("" if tracking["segment_rule"] == "predicted" else ", strict")
        for number, rollout in enumerate(tracking["rollouts"]):
            steps, error = rollout["steps_to_end"], rollout["heading_error"]
            section.table.append(
                [
                    f"{label}, iteration {record['iteration']}",
                    str(number),
                    f"not in {rollout['steps']}" if steps is None else str(steps),
                    f"{rollout['seconds']:.1f} s",
                    f"{rollout['distance_mean']:.3f}",
                    f"{rollout['distance_max']:.3f}",
                    f"{rollout['progress']:.2f} ({100 * rollout['progress_share']:.0f} %)",
                    str(rollout["final_segment"]),
                    "–" if error is None else f"{math.degrees(error):.0f}°",
                ]
            )
    return section


def _policies(run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]) -> Section | None:
    """Imitation and fine-tuning, where the run has them."""
    stages = [path for path in sorted(run.path.glob("mbmf_*")) if Run(path).exists]
    if Run(run.path / "imitation").exists:
        stages.insert(0, run.path / "imitation")
    if not stages:
        return None
    section = Section(
        "policies",
        "Imitation and fine-tuning",
        "A policy that learned to act as model-predictive control does, then improved by trial and error.",
    )

    def curves() -> Figure:
        found = read_curves(task.name, [run.path], [], note=notes.append)
        title = f"{run.path.name} ({task.name})"
        return plot_learning_curves({each: found[each] for each in METHODS if each in found}, title=title)

    _draw(section, "learning curves", curves, notes)
    section.table = [["stage", "iterations", "steps in all", "last reward", "best reward"]]
    for path in stages:
        rewarded = [each for each in Run(path).metrics() if each.get("reward_mean") is not None]
        if rewarded:
            best = max(rewarded, key=lambda each: each["reward_mean"])
            section.table.append(
                [
                    path.name,
                    str(rewarded[-1]["iteration"]),
                    f"{rewarded[-1]['steps_total']:,}",
                    _spread(rewarded[-1]["reward_mean"], rewarded[-1]["reward_std"]),
                    f"{_spread(best['reward_mean'], best['reward_std'])} (iteration {best['iteration']})",
                ]
            )
    return section


def _videos(run: Run, task: Task, records: list[Record], folder: Path, notes: list[str]) -> Section | None:
    """Those of the run and of its stages: part of the page, or linked where they are large."""
    found = sorted(
        [
            *run.path.glob("videos/*.mp4"),
            *run.path.glob("*/videos/*.mp4"),
            *run.path.glob("paths/*/videos/*.mp4"),
        ]
    )
    if not found:
        notes.append("there are no videos: mbmf video makes them")
        return None
    section = Section("videos", "Videos", "Episodes of this run.")
    for path in found:
        size = path.stat().st_size
        video = {
            "caption": path.relative_to(run.path).as_posix().replace("videos/", "").removesuffix(".mp4"),
            "size": f"{size / 2**20:.1f} MiB",
            "link": urllib.parse.quote(os.path.relpath(path, folder)),
            "data": base64.b64encode(path.read_bytes()).decode() if size <= _LARGEST_VIDEO else "",
            "poster": _first_picture(path),
        }
        section.videos.append(video)
    return section


def _first_picture(video: Path) -> str:
    """The first picture of a video as base64 of PNG, or nothing where it cannot be read."""
    import imageio_ffmpeg
    import matplotlib.image

    try:
        frames = imageio_ffmpeg.read_frames(str(video))
        width, height = next(frames)["size"]
        pixels = np.frombuffer(next(frames), np.uint8).reshape(height, width, 3)
        frames.close()
    # what is no video, or no FFmpeg, is told apart by nothing that would help a reader
    except (OSError, RuntimeError, StopIteration, ValueError):
        return ""
    file = io.BytesIO()
    matplotlib.image.imsave(file, pixels, format="png")
    return base64.b64encode(file.getvalue()).decode()


def _draw(section: Section, caption: str, make: Callable[[], Figure], notes: list[str]) -> bool:
    """Adds a figure; one that cannot be made is a note."""
    try:
        figure = make()
    except (MbmfError, ValueError, OSError) as error:
        notes.append(f"no {caption}: {error}")
        return False
    file = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None}
    figure.savefig(file, format="svg", metadata=metadata)
    section.figures.append({"caption": caption, "data": base64.b64encode(file.getvalue()).decode()})
    return True


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if abs(value) < 1e5 else f"{value:.1e}"


def _spread(mean: float | None, deviation: float | None) -> str:
    if mean is None or deviation is None:
        return "–"
    return f"{mean:,.1f} ± {deviation:,.1f}"
