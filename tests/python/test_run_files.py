"""A run knows its files: what is missing, changed or strange is an error, and nothing else is lost."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mbmf
from mbmf.cli.main import main
from mbmf.errors import ConfigError, DataError
from mbmf.files import atomic_folder, atomic_write
from mbmf.runs.configuration import task_entries
from mbmf.runs.manifest import Manifest
from mbmf.runs.run import Run
from mbmf.show.run_curves import read_curves
from mbmf.show.run_figures import loss_figure
from run_on_disk import CONFIG, killed, make, snapshot


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make(tmp_path / "run")


def test_every_file_is_recorded(run: Path) -> None:
    files = json.loads((run / "files.json").read_text())["files"]
    kept = {"data/train.npz", *(f"rollouts/iteration_{i}.npz" for i in (1, 2, 3))}
    kept |= {f"models/iteration_{i}.safetensors" for i in (1, 2, 3)}
    kept |= {"policy/policy.safetensors", "policy/checkpoint.safetensors"}
    assert files.keys() == kept | {"config.yaml", "metrics.jsonl", "summary.json"}
    assert all(len(entry) == 1 for entry in files.values())
    Run.resume(run, CONFIG).close()
    assert json.loads((run / "files.json").read_text())["files"] == files


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda run: (run / "metrics.jsonl").unlink(),
            r"metrics\.jsonl: metrics must be there, the run is fin",
        ),
        (
            lambda run: flip(run / "metrics.jsonl", b"2.0", b"3.0"),
            r"metrics\.jsonl: file must be as the run wr",
        ),
        (
            lambda run: (run / "models/iteration_3.safetensors").unlink(),
            "iteration_3.* must be there, the run",
        ),
        (lambda run: flip(run / "models/iteration_2.safetensors", b"2", b"3"), r"iteration_2\.safetensors: "),
        (
            lambda run: flip(run / "summary.json", b"3", b"4"),
            r"summary\.json: file must be as the run wrote it",
        ),
        (
            lambda run: (run / "policy/checkpoint.safetensors").unlink(),
            r"checkpoint.* must be there after 3 iter",
        ),
        (
            lambda run: (run / "policy/policy.safetensors").unlink(),
            r"policy\.safetensors: file must be there",
        ),
        (lambda run: shutil.rmtree(run / "rollouts"), r"iteration_1\.npz: file must be there"),
        (
            lambda run: cut(run / "rollouts/iteration_1.npz"),
            r"iteration_1\.npz: must be a whole file of Episodes",
        ),
        (
            lambda run: (run / "rollouts/iteration_4.npz").touch(),
            "iteration_4.npz: file must be one that the run",
        ),
        (
            lambda run: (run / "data/validation.npz").touch(),
            "validation.npz: file must be one that the run wro",
        ),
        (
            lambda run: (run / "files.json").write_text("{"),
            r"files\.json: list of files must be readable JSON",
        ),
        (
            lambda run: (run / "files.json").write_text("[]"),
            r"files\.json: list of files must be one of format",
        ),
        (
            lambda run: (run / "files.json").write_text(
                '{"format": "mbmf-files-1", "files": {"../x": ["a"]}}'
            ),
            r"files\.json: list of files must be one of",
        ),
        (
            lambda run: (run / "metrics.jsonl").write_bytes(b"\xff\n"),
            r"metrics\.jsonl: must be UTF-8 text, got a",
        ),
        (
            lambda run: (run / "metrics.jsonl").write_text("[" * 9999 + "\n"),
            r"metrics\.jsonl:1: line must be th",
        ),
        (
            lambda run: (run / "summary.json").write_text("[" * 9999),
            r"summary\.json: summary must be JSON that",
        ),
        (
            lambda run: (run / "config.yaml").write_text("a: [1"),
            r"config\.yaml: configuration must be readable",
        ),
        (lambda run: (run / "config.yaml").write_bytes(b"\xff"), r"config\.yaml: .* got: must be UTF-8 text"),
        (lambda run: (run / "config.yaml").write_text("task: !!bool x"), r"config\.yaml: .* must be YAML"),
        (
            lambda run: (run / "config.yaml").write_text("{task: [1]}"),
            r"config\.yaml: task must be a mapping",
        ),
    ],
)
def test_a_resume_touches_nothing_where_a_file_is_wrong(
    run: Path, damage: Callable[[Path], Any], message: str
) -> None:
    damage(run)
    before = snapshot(run)
    with pytest.raises(DataError, match=message):
        Run.resume(run, CONFIG)
    assert snapshot(run) == before


def flip(file: Path, old: bytes, new: bytes) -> None:
    data = file.read_bytes()
    assert old in data
    file.write_bytes(data.replace(old, new, 1))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize("missing", ["policy/checkpoint.safetensors", "metrics.jsonl"])
def test_a_run_without_a_list_of_its_files_is_compared_too(run: Path, missing: str) -> None:
    """Of an earlier release."""
    (run / "files.json").unlink()
    Run.resume(run, CONFIG).close()
    assert Manifest(run).exists
    (run / "files.json").unlink()
    (run / "summary.json").unlink()
    (run / missing).unlink()
    before = snapshot(run)
    with pytest.raises(DataError, match=rf"{missing.split('/')[-1]}: .* must be"):
        Run.resume(run, CONFIG)
    assert snapshot(run) == before


def test_a_list_of_files_that_was_removed(tmp_path: Path) -> None:
    """`--resume` of a finished run went on without a word, and compared nothing."""
    task = mbmf.load_task("swimmer_forward")
    config = {"algorithm": "model_free", "seed": 0, **task_entries(task)}
    run = make(tmp_path / "runs/run_1", config)
    (run / "files.json").unlink()
    before = snapshot(run)
    others = tmp_path / "run_2"
    for use in (
        lambda: Run.resume(run, config).close(),
        lambda: Run.reuse(run, config, task=task.name, keep=("data",)).close(),
        lambda: Run(run).check(run / "data/train.npz"),
        lambda: Run.create(others, config, overwrite=True).share(Run(run), "data"),
    ):
        with pytest.raises(DataError, match=r"run_1/files\.json: list of files must be there"):
            use()
        assert snapshot(run) == before
    # one that was killed as it began has no list yet, and nothing to lose
    with Run.create(tmp_path / "run_3", config):
        pass
    (tmp_path / "run_3/files.json").unlink()
    Run.resume(tmp_path / "run_3", config).close()


def test_readers_notice_too(run: Path) -> None:
    assert Run(run).latest_model() == run / "models/iteration_3.safetensors"
    flip(run / "models/iteration_3.safetensors", b"3", b"4")
    with pytest.raises(DataError, match=r"iteration_3.* must be as the run wrote it \(SHA-256 4e0740856"):
        Run(run).check(run / "models/iteration_3.safetensors")
    (run / "models/iteration_3.safetensors").unlink()
    with pytest.raises(
        DataError, match=r"iteration_3.*: file must be there, the run has written it, got none"
    ):
        Run(run).latest_model()


def test_what_a_full_disk_leaves_is_recorded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    (run / "summary.json").unlink()
    with Run.resume(run, CONFIG) as again:
        with monkeypatch.context() as patch:
            patch.setattr("mbmf.runs.manifest.rename", full)
            with pytest.raises(DataError, match=r"metrics\.jsonl: file must be writable, got: No space left"):
                again.append_metrics({"iteration": 4})
        assert len(again.metrics()) == 3
        again.append_metrics({"iteration": 4, "steps_total": 9})
    assert not list(run.glob("**/.*.tmp"))
    Run.resume(run, CONFIG).close()


@pytest.mark.parametrize("renamed", [False, True])
def test_killed_between_the_list_and_the_file(
    run: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Twice: what is there is the old file or the new one, whatever the next one would have been."""
    policy = run / "policy/policy.safetensors"

    def stop(new: Path, file: Path) -> None:
        if renamed:
            os.replace(new, file)
        os._exit(9)

    for contents in (b"first", b"second", b"third"):

        def child(contents: bytes = contents) -> None:
            with Run.resume(run, CONFIG) as again:
                monkeypatch.setattr("mbmf.runs.manifest.rename", stop)
                with again.writing(again.policy("policy")) as new:
                    new.write_bytes(contents)

        killed(child)
        assert policy.read_bytes() == (contents if renamed else b"3")
        assert len(json.loads((run / "files.json").read_text())["files"]["policy/policy.safetensors"]) == 2
    Run.resume(run, CONFIG).close()
    assert len(json.loads((run / "files.json").read_text())["files"]["policy/policy.safetensors"]) == 1
    assert not list(run.glob("**/.*.tmp"))


# --- what others left, and others at work


def test_an_export_that_was_killed_is_no_obstacle(run: Path) -> None:
    (run / "bundle").mkdir()
    (run / "bundle/bundle.json").write_text("old")

    def child() -> None:
        with atomic_folder(run / "bundle") as new:
            (new / "bundle.json").write_text("half")
            os._exit(9)

    killed(child)
    assert any(each.is_dir() for each in run.glob(".bundle.*.tmp"))
    Run.resume(run, CONFIG).close()
    assert not list(run.glob(".bundle.*"))
    assert (run / "bundle/bundle.json").read_text() == "old"
    # between the two renames of a system that cannot exchange folders
    os.rename(run / "bundle", run / ".bundle.12-ab.old")
    Run.resume(run, CONFIG).close()
    assert (run / "bundle/bundle.json").read_text() == "old"
    with atomic_folder(run / "bundle") as new:
        (new / "bundle.json").write_text("new")
    assert (run / "bundle/bundle.json").read_text() == "new"
    assert not list(run.glob(".bundle.*"))


def test_what_a_killed_process_left_goes_when_the_same_is_written_again(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_write(tmp_path / "picture.png") as file:
            file.write(b"half")
            os._exit(9)

    def export() -> None:
        with atomic_folder(tmp_path / "out") as new:
            (new / "bundle.json").write_text("half")
            os._exit(9)

    killed(write)
    killed(export)
    (tmp_path / ".out.12-0123abcd.old").mkdir()  # between two renames; it is the export of before
    (tmp_path / ".other.12-0123abcd.tmp").touch()  # of another name
    assert len(os.listdir(tmp_path)) == 4
    with atomic_write(tmp_path / "picture.png") as file:
        file.write(b"whole")
        with atomic_write(tmp_path / "picture.png") as faster:  # the other one's is not taken for a leftover
            faster.write(b"first")
    with atomic_folder(tmp_path / "out") as new:
        assert (tmp_path / "out").is_dir()
        (new / "bundle.json").write_text("whole")
        with atomic_folder(tmp_path / "out") as faster_one:
            (faster_one / "bundle.json").write_text("first")
    assert sorted(os.listdir(tmp_path)) == [".other.12-0123abcd.tmp", "out", "picture.png"]
    assert (tmp_path / "picture.png").read_bytes() == b"whole"
    assert (tmp_path / "out/bundle.json").read_text() == "whole"


def test_errors_of_the_system_name_what_is_written(tmp_path: Path) -> None:
    def within() -> None:
        with atomic_folder(tmp_path / "out") as new:
            (new / "none" / "bundle.json").write_text("lost")

    def becomes_a_folder() -> None:
        with atomic_write(tmp_path / "picture.png") as file:
            file.write(b"lost")
            (tmp_path / "picture.png").mkdir()

    def another() -> None:
        with atomic_write(tmp_path / "report.html"):
            (tmp_path / "episodes.npz").read_bytes()

    for function, named in ((within, "out/none/bundle.json"), (becomes_a_folder, "picture.png")):
        with pytest.raises(OSError, match=f"{tmp_path}/{named}'$"):
            function()
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/episodes.npz'$"):
        another()
    assert os.listdir(tmp_path) == ["picture.png"]


def test_rollouts_that_were_being_saved_go_when_the_run_is_finished(run: Path) -> None:
    shutil.copy(run / "rollouts/iteration_1.npz", run / "rollouts/saving_0.npz")
    manifest = Manifest(run)
    manifest.record(run / "rollouts/saving_0.npz")
    manifest.save()
    Run.resume(run, CONFIG).close()
    assert not (run / "rollouts/saving_0.npz").exists()
    Run.resume(run, CONFIG).close()


@pytest.mark.parametrize(
    ("name", "before", "after"), [("config.yaml", b"seed: 0", b"seed: 1"), ("metrics.jsonl", b"2.0", b"2.5")]
)
@pytest.mark.parametrize("algorithm", ["model_based", "model_free"])
def test_no_figure_is_drawn_of_a_changed_run(
    tmp_path: Path, algorithm: str, name: str, before: bytes, after: bytes
) -> None:
    run = make(tmp_path / "run", {**CONFIG, "algorithm": algorithm})
    flip(run / name, before, after)
    with pytest.raises(DataError, match=f"{name}: file must be as the run wrote it"):
        loss_figure([run]) if algorithm == "model_based" else read_curves("small", [], [run])


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_a_directory_that_is_gone_is_an_error(tmp_path: Path, how: str) -> None:
    path = tmp_path / "run"

    def work() -> None:
        with Run.create(path, CONFIG) as run:
            run.append_metrics({"iteration": 1})
            if how == "removed":
                shutil.rmtree(path)
            else:
                os.rename(path, tmp_path / "elsewhere")
            if how == "replaced":
                make(path)
            with run.writing(run.model(1)) as new:
                new.write_bytes(b"model")

    with pytest.raises(
        DataError, match="run directory must stay where it is while it is in use, got one that"
    ):
        work()
    assert not path.exists() or (how == "replaced" and Run(path).summary() == {"iterations": 3})

    def end() -> None:
        with Run.create(tmp_path / "other", CONFIG):
            shutil.rmtree(tmp_path / "other")

    with pytest.raises(DataError, match="must stay where it is"):
        end()


@pytest.mark.parametrize("inner", ["paths/left_turn", "imitation", "mbmf_std1_1"])
def test_the_run_around_a_run_is_not_replaced(run: Path, inner: str) -> None:
    with Run.create(run / inner, CONFIG) as part:
        part.share(Run(run), "models")
        assert part.latest_model() == run / "models/iteration_3.safetensors"
        with pytest.raises(DataError, match=f"{run}: run must not be in use"):
            Run.create(run, CONFIG, overwrite=True)
        with Run.read(run):
            pass
    with Run.resume(run, CONFIG), pytest.raises(DataError, match=f"{run}: run must not be in use"):
        Run.resume(run / inner, CONFIG)
    Run.create(run, CONFIG, overwrite=True).close()
    assert not (run / inner).exists()


def test_two_that_begin_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one was faster, and is done, when this one gets the lock."""
    good = fcntl.flock

    def late(*args: Any) -> None:
        monkeypatch.undo()
        make(tmp_path / "run")
        good(*args)

    monkeypatch.setattr("mbmf.runs.lock.fcntl.flock", late)
    with pytest.raises(DataError, match="got an existing run"):
        Run.create(tmp_path / "run", CONFIG)
    assert len(Run(tmp_path / "run").metrics()) == 3


def test_threads_are_counted_before_there_is_a_directory(tmp_path: Path) -> None:
    for nthread in (-1, 5000, 1.5):
        with pytest.raises(ConfigError, match="nthread must be "):
            Run.create(tmp_path / "run", {**CONFIG, "nthread": nthread})
    assert not (tmp_path / "run").exists()


# --- at the command line


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.yaml", lambda text: text[: len(text) // 2], "config.yaml"),
        ("config.yaml", lambda text: text[:300], "config.yaml"),
        ("config.yaml", lambda text: text.replace("seed: 3", "sed: 3"), "config.yaml: seed must be"),
        ("config.yaml", lambda text: "task: &a {b: *a}", "config.yaml: configuration must be readable YAML"),
        ("config.yaml", lambda text: "algorithm: [", "config.yaml: configuration must be readable YAML"),
        ("metrics.jsonl", lambda text: text.replace("steps_total", "stops_total"), "metrics.jsonl"),
        (
            "metrics.jsonl",
            lambda text: text.replace('"returns": [', '"returns": ["x", '),
            "returns must be a li",
        ),
        (
            "metrics.jsonl",
            lambda text: text.replace('"reward_mean": ', '"reward_mean": 1e999, "x": '),
            "reward_me",
        ),
        (
            "metrics.jsonl",
            lambda text: text.replace('"diverged": 0', '"diverged": null'),
            "diverged must be a nu",
        ),
        (
            "metrics.jsonl",
            lambda text: text.replace("1", "9" * 5000, 1),
            "metrics.jsonl:1: line must be the JSON",
        ),
        ("metrics.jsonl", lambda text: "\udcff" + text, "metrics.jsonl: must be UTF-8 text"),
        ("summary.json", lambda text: "\udcff", "summary.json: summary must be UTF-8 text"),
        ("summary.json", lambda text: "[1]", "summary.json: record must be a mapping"),
        ("files.json", lambda text: text[:50], "files.json: list of files must be readable JSON"),
    ],
)
def test_reports_of_damaged_runs(
    small_runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    change: Callable[[str], str],
    message: str,
) -> None:
    """No command ends in a traceback: what is wrong is named by each that needs it."""
    runs = tmp_path / "runs"
    shutil.copytree(small_runs, runs)
    path = runs / "run_1" / file
    path.write_text(change(path.read_text()), encoding="utf-8", errors="surrogateescape")
    before = snapshot(runs)
    said = ""
    for command in (
        ["report"],
        ["plot", "loss"],
        ["video", "--rollouts=saved", "--width=64", "--height=48"],
        ["export", f"--out={tmp_path / 'out'}"],
        ["control", "--seconds=0.1", f"--output={tmp_path / 'control'}"],
    ):
        if command[0] in ("video", "control") and file == "summary.json":
            continue  # they do not read it
        assert main([*command, "--run_num=1", f"--runs_dir={runs}"]) in (0, 2)
        said += capsys.readouterr().err
    assert message in said.replace("\n", " ")
    after = snapshot(runs)
    assert {name: after[name] for name in before} == before


def test_a_finished_run_without_metrics_is_not_resumed(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tmp_path / "task.yaml"
    task.write_text(mbmf.load_task(dict(Run(small_runs / "run_1").config()["task"])).to_yaml())
    shutil.copytree(small_runs / "run_1", tmp_path / "runs/run_1")
    command = [
        "mb",
        f"--yaml_file={task}",
        "--run_num=1",
        "--seed=3",
        f"--runs_dir={tmp_path / 'runs'}",
        "--resume",
    ]
    assert main(command) == 0
    (tmp_path / "runs/run_1/metrics.jsonl").unlink()
    before = snapshot(tmp_path)
    assert main(command) == 2
    assert "metrics.jsonl: metrics must be there, the run is finished" in capsys.readouterr().err
    assert snapshot(tmp_path) == before
