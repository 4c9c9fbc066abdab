"""Run directories: what is refused, what survives, what is found again."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mbmf.errors import DataError
from mbmf.runs.board import Board
from mbmf.runs.run import Run

CONFIG = {
    "task": {"name": "swimmer", "physics_steps": 150},
    "seed": 0,
    "nthread": 1,
    "versions": {"mbmf": "1"},
}


def _record(iteration: int, **values: object) -> dict[str, object]:
    return {"iteration": iteration, "loss_old": 0.5, "validation_error": {"1": 0.25, "100": 2.0}, **values}


def test_a_new_run_has_its_folders_and_configuration(tmp_path: Path) -> None:
    with Run.create(tmp_path / "runs" / "run_0", CONFIG) as run:
        assert run.config() == CONFIG
        assert run.metrics() == []
        assert run.summary() is None
        for folder in ("data", "models", "rollouts", "plots", "videos"):
            assert (run.path / folder).is_dir()
        assert run.model(3) == run.path / "models" / "iteration_3.safetensors"
        assert run.rollouts(3) == run.path / "rollouts" / "iteration_3.npz"
        assert run.rollouts("saved") == run.path / "rollouts" / "saved.npz"


def test_an_existing_run_is_kept_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "run_0"
    with Run.create(path, CONFIG) as run:
        run.append_metrics(_record(1))
    with pytest.raises(
        DataError, match=r"run directory must be new, got an existing run.*--resume.*--overwrite"
    ):
        Run.create(path, CONFIG)
    assert len(Run(path).metrics()) == 1
    (path / "mine.txt").write_text("notes")
    with Run.create(path, {**CONFIG, "seed": 1}, overwrite=True) as run:
        assert run.metrics() == []
        assert run.config()["seed"] == 1
    assert (path / "mine.txt").read_text() == "notes"


def test_what_a_run_left_that_was_killed_at_once_is_no_obstacle(tmp_path: Path) -> None:
    for name in (".lock", ".config.yaml.12-ab.tmp"):
        (tmp_path / name).write_text("")
    with Run.create(tmp_path, CONFIG) as run:
        assert run.config() == CONFIG
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_that_is_no_run_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="run directory must be new or a run of mbmf, got something else"):
        Run.create(tmp_path, CONFIG, overwrite=overwrite)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_resume_takes_the_same_configuration_only(tmp_path: Path) -> None:
    path = tmp_path / "run_0"
    with pytest.raises(DataError, match=r"config\.yaml: run must exist, got none"):
        Run.resume(path, CONFIG)
    assert not path.exists()
    Run.create(path, CONFIG).close()
    Run.resume(path, {**CONFIG, "nthread": 7, "versions": {}}).close()
    with pytest.raises(DataError, match=r"config\.yaml: seed must be 3 to resume .*, got 0"):
        Run.resume(path, {**CONFIG, "seed": 3})
    with pytest.raises(DataError, match=r"task\.name must be 'hopper' .*, got 'swimmer'"):
        Run.resume(path, {**CONFIG, "task": {"name": "hopper", "physics_steps": 1}})


def test_reuse_keeps_what_it_is_told_to_of_the_same_task(tmp_path: Path) -> None:
    path = tmp_path / "run_0"
    with Run.create(path, CONFIG) as run:
        run.data("train").write_bytes(b"data")
        run.model(1).write_bytes(b"model")
        run.append_metrics(_record(1))
    with pytest.raises(DataError, match="task must be hopper to use its files, got swimmer"):
        Run.reuse(path, CONFIG, task="hopper", keep=("data",))
    assert Run(path).model(1).exists()
    with Run.reuse(path, {**CONFIG, "seed": 9}, task="swimmer", keep=("data",)) as run:
        assert run.data("train").read_bytes() == b"data"
        assert not run.model(1).exists()
        assert run.metrics() == []
        assert run.config()["seed"] == 9


def test_a_run_is_locked_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "run_0"
    with Run.create(path, CONFIG):
        with pytest.raises(DataError, match="run must not be in use, got one of another process"):
            Run.resume(path, CONFIG)
        with pytest.raises(DataError, match="run must not be in use"):
            Run.create(path, CONFIG, overwrite=True)
    Run.resume(path, CONFIG).close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"configuration must be readable YAML, got"),
        ("- 1", r"configuration must be a mapping, got list"),
        ("", r"configuration must be a mapping, got NoneType"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"config\.yaml: {message}"):
        Run.resume(tmp_path, CONFIG)


def test_metrics_are_lines_of_json_and_a_cut_last_line_is_left_out(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", CONFIG) as run:
        run.append_metrics(_record(1, loss_new=None, reward_mean=float("inf")))
        run.append_metrics(_record(2))
        file = run.path / "metrics.jsonl"
        lines = file.read_text().splitlines()
        assert [json.loads(line)["iteration"] for line in lines] == [1, 2]
        assert json.loads(lines[0])["reward_mean"] is None

        file.write_text("\n".join(lines) + '\n{"iteration": 3, "lo')
        assert [record["iteration"] for record in run.metrics()] == [1, 2]
        run.append_metrics(_record(3))
        assert [record["iteration"] for record in run.metrics()] == [1, 2, 3]

        file.write_text(lines[1] + "\n")
        with pytest.raises(DataError, match=r"metrics\.jsonl:1: line must be the JSON record of iteration 1"):
            run.metrics()


def test_tensorboard_has_each_iteration_once_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Run.create(tmp_path / "run", CONFIG) as run:
        run.append_metrics(_record(1))
    with Run.resume(tmp_path / "run", CONFIG) as run:
        run.append_metrics(_record(2))
    events = EventAccumulator(str(tmp_path / "run" / "tb"))
    events.Reload()
    assert [event.step for event in events.Scalars("validation_error/100")] == [1, 2]


def test_tensorboard_has_figures(tmp_path: Path) -> None:
    from matplotlib.figure import Figure
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Run.create(tmp_path / "run", CONFIG) as run:
        run.append_metrics(_record(1))
        run.log_figures({"reward": Figure(figsize=(3, 2), dpi=100)}, 1)
    events = EventAccumulator(str(tmp_path / "run" / "tb"))
    events.Reload()
    (image,) = events.Images("reward")
    assert (image.step, image.width, image.height) == (1, 300, 200)
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_a_full_disk_for_tensorboard_is_an_error_and_its_events_start_anew(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The writer of PyTorch printed a traceback from a thread."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = [_record(i) for i in range(1, 30)]
    board, limits = Board(tmp_path / "tb", lambda: records), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(
            DataError, match=r"tb: TensorBoard's events must be writable, got: File too large"
        ):
            board.add_record(records[-1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    records.append(_record(30))
    board.add_record(records[-1])
    board.close()
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss_old")] == list(range(1, 31))
    assert capfd.readouterr() == ("", "")


def test_the_latest_model_is_the_one_of_the_highest_number(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", CONFIG) as run:
        assert run.latest_model() is None
        for iteration in (2, 10, 9):
            run.model(iteration).touch()
        assert run.latest_model() == run.model(10)


def test_an_unwritable_place_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"run_0.*must be writable, got: Not a directory"):
        Run.create(blocked / "run_0", CONFIG)
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_metrics(tmp_path: Path) -> None:
    """The limit on a file's size stands for a full disk; it is a process's, so the test has one of its
    own."""
    path = tmp_path / "run"
    with Run.create(path, CONFIG) as run:
        run.append_metrics(_record(1))
    before = (path / "metrics.jsonl").read_text()
    script = f"""
import resource, signal
from mbmf.runs.board import Board
from mbmf.runs.run import Run
run = Run.resume({str(path)!r}, {CONFIG!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
run.append_metrics({{"iteration": 2, "text": "x" * 100_000}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "metrics.jsonl: file must be writable, got: File too large" in done.stderr
    assert (path / "metrics.jsonl").read_text() == before
    assert not list(path.glob("**/.*.tmp"))


def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "run"
    Run.create(path, CONFIG).close()
    (path / "models" / ".iteration_1.safetensors.1-00.tmp").write_bytes(b"half")
    Run.resume(path, CONFIG).close()
    assert not list((path / "models").iterdir())
