"""Services that get a run's records: the same run goes on after a resume, and what fails ends nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from mbmf.cli.main import main
from mbmf.errors import ConfigError
from mbmf.runs import services
from mbmf.runs.run import Run

CONFIG = {"algorithm": "made up", "task": {"name": "swimmer"}, "seed": 3, "versions": {"mbmf": "1"}}


def _record(iteration: int) -> dict[str, Any]:
    error = {"1": 0.25, "100": 2.0 + iteration / 1024}
    return {"iteration": iteration, "reward_mean": iteration + 0.0078125, "validation_error": error}


class Memory:
    """A service that keeps what it gets, and fails at an iteration."""

    runs: ClassVar[dict[str, list[tuple[int, Mapping[str, float]]]]] = {}
    fails_at = 0
    finished: bool | None = None

    def open(self, about: services.About, known: str | None) -> tuple[str, str]:
        self.run = known or f"{about.name}-{len(self.runs)}"
        self.runs.setdefault(self.run, [])
        return self.run, "in memory"

    def add_numbers(self, numbers: Mapping[str, float], iteration: int) -> None:
        if iteration == Memory.fails_at:
            raise OSError("no route to host\nand more lines")
        self.runs[self.run].append((iteration, numbers))

    def add_figures(self, figures: Any, iteration: int) -> None:
        raise AssertionError("none are made here")

    def close(self, finished: bool) -> None:
        Memory.finished = finished


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> type[Memory]:
    Memory.runs, Memory.fails_at, Memory.finished = {}, 0, None
    monkeypatch.setattr(services, "service", lambda name: Memory())
    return Memory


@pytest.fixture
def anew() -> Iterator[None]:
    """Modules that import a service's package, imported anew, and once more by the next test."""

    def forget() -> None:
        for name in services.NAMES:
            sys.modules.pop(f"mbmf.runs.{name}_service", None)

    forget()
    yield
    forget()


def test_a_resume_goes_on_in_the_same_run_and_sends_what_is_missing(
    tmp_path: Path, memory: type[Memory]
) -> None:
    notes: list[str] = []
    with Run.create(tmp_path / "runs/run_1", CONFIG) as run:
        run.append_metrics(_record(1))  # before anybody asked
        run.send_to("wandb", notes.append)
        run.append_metrics(_record(2))
    assert memory.finished is False
    with Run.resume(tmp_path / "runs/run_1", CONFIG) as run:
        run.append_metrics(_record(3))  # nobody asked this time
    with Run.resume(tmp_path / "runs/run_1", CONFIG) as run:
        run.send_to("wandb", notes.append)
        run.append_metrics(_record(4))
        run.write_summary({"rollouts_saved": 0})
    assert memory.finished is True
    assert notes == ["wandb: in memory"] * 2
    assert list(memory.runs) == ["run_1-0"]
    assert [iteration for iteration, _ in memory.runs["run_1-0"]] == [1, 2, 3, 4]
    numbers = {"reward_mean": 2.0078125, "validation_error/1": 0.25, "validation_error/100": 2.0 + 2 / 1024}
    assert memory.runs["run_1-0"][1][1] == numbers
    with Run.create(tmp_path / "runs/run_1", CONFIG, overwrite=True) as run:
        run.send_to("wandb", notes.append)
    assert list(memory.runs) == ["run_1-0", "run_1-1"]


def test_runs_of_a_sweep_have_names_of_their_own(tmp_path: Path, memory: type[Memory]) -> None:
    for place in (
        "runs/sweep/a=1/mf_0",
        "runs/sweep/a=2/mf_0",
        "runs/run_0",
        "runs/run_0/imitation",
        "mine/run_0",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        with Run.create(tmp_path / place, CONFIG) as run:
            run.send_to("mlflow", lambda note: None)
    names = [run.rpartition("-")[0] for run in memory.runs]
    assert names == ["a=1/mf_0", "a=2/mf_0", "run_0", "run_0/imitation", "mine/run_0"]


def test_a_service_that_fails_ends_nothing(tmp_path: Path, memory: type[Memory]) -> None:
    notes: list[str] = []
    memory.fails_at = 2
    with Run.create(tmp_path / "runs/run_1", CONFIG) as run:
        run.send_to("mlflow", notes.append)
        for iteration in (1, 2, 3):
            run.append_metrics(_record(iteration))
    assert len(run.metrics()) == 3
    assert notes[1:] == [
        "mlflow failed and gets nothing more of this run for now: no route to host; what is missing is sent "
        "when the run is resumed with --mlflow"
    ]
    memory.fails_at = 0
    with Run.resume(tmp_path / "runs/run_1", CONFIG) as run:
        run.send_to("mlflow", notes.append)
    assert [iteration for iteration, _ in memory.runs["run_1-0"]] == [1, 2, 3]

    (run.path / "services" / "mlflow.json").write_text('{"run": 5}')
    with Run.resume(tmp_path / "runs/run_1", CONFIG) as run:
        run.send_to("mlflow", notes.append)
        run.append_metrics(_record(4))
    assert "mlflow.json: file must have a run and its iterations" in notes[-1]


@pytest.mark.parametrize("name", services.NAMES)
@pytest.mark.parametrize(
    "command",
    [
        "mb --yaml_file=swimmer_forward",
        "mf --which_agent=2",
        "mbmf --which_agent=2",
        "reproduce swimmer",
        "sweep mb swimmer",
    ],
)
def test_a_missing_package_is_said_before_anything_begins(
    name: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    anew: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, name, None)
    assert main([*command.split(), f"--{name}"]) == 2
    said = f'--{name} needs the package {name}, which is not installed: pip install "mbmf[{name}]"'
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_name_is_no_package(monkeypatch: pytest.MonkeyPatch, anew: None) -> None:
    monkeypatch.setitem(sys.modules, "wandb", ModuleType("wandb"))  # a folder where W&B wrote is one too
    with pytest.raises(ConfigError, match="needs the package wandb"):
        services.service("wandb")


def _two_processes_worth(path: Path, name: str) -> list[str]:
    """A run that is interrupted after two iterations and resumed for a third."""
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib.figure import Figure

    notes: list[str] = []
    with Run.create(path, CONFIG) as run:
        run.send_to(name, notes.append)
        for iteration in (1, 2):
            run.append_metrics(_record(iteration))
    with Run.resume(path, CONFIG) as run:
        run.send_to(name, notes.append)
        run.append_metrics(_record(3))
        run.log_figures({"reward": Figure()}, 3)
        run.write_summary({"rollouts_saved": 0})
    return notes


def test_mlflow_has_one_run_with_all_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason='needs pip install "mbmf[mlflow]"')
    monkeypatch.chdir(tmp_path)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(variable, raising=False)
    notes = _two_processes_worth(tmp_path / "runs" / "run_1", "mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient(str(tmp_path / "mlruns"))
    experiment = client.get_experiment_by_name("mbmf")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "run_1"
    assert found.info.status == "FINISHED"
    assert found.data.params == {"algorithm": "made up", "task": "swimmer", "seed": "3"}
    history = client.get_metric_history(found.info.run_id, "validation_error/100")
    assert [(each.step, each.value) for each in history] == [(i, 2.0 + i / 1024) for i in (1, 2, 3)]
    files = {each.path for each in client.list_artifacts(found.info.run_id)}
    assert files == {"config.yaml", "figures"}
    assert notes == [f"mlflow: run {found.info.run_id} of mbmf at {tmp_path / 'mlruns'}"] * 2


def test_mlflow_is_told_how_a_run_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason='needs pip install "mbmf[mlflow]"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    path, client = tmp_path / "runs" / "run_1", mlflow.MlflowClient(str(tmp_path / "mlruns"))

    def status() -> str:
        experiment = client.get_experiment_by_name("mbmf")
        (found,) = client.search_runs([experiment.experiment_id])
        return str(found.info.status)

    with Run.create(path, CONFIG) as run:
        run.send_to("mlflow", lambda note: None)
        assert status() == "RUNNING"
        run.append_metrics(_record(1))
    assert status() == "KILLED"
    with Run.resume(path, CONFIG) as run:
        run.send_to("mlflow", lambda note: None)
        assert status() == "RUNNING"
        run.write_summary({"rollouts_saved": 0})
    assert status() == "FINISHED"


def test_wandb_has_one_run_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason='needs pip install "mbmf[wandb]"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = tmp_path / "runs" / "run_1"
    notes = _two_processes_worth(path, "wandb")
    logs = sorted((path / "services" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [note.removeprefix("wandb: ") for note in notes] == [str(log.parent) for log in logs]
    assert len(logs) == 2
    assert len({log.name for log in logs}) == 1  # of one and the same run
    for log, iterations in zip(logs, ((1, 2), (3,)), strict=True):
        data = log.read_bytes()
        for iteration in (1, 2, 3):
            assert (str(iteration + 0.0078125).encode() in data) == (iteration in iterations)
    assert b"validation_error" in logs[0].read_bytes()
    assert list(logs[1].parent.glob("files/media/images/reward_*.png"))
