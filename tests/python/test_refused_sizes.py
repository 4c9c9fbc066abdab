"""Networks that do not fit into memory are refused before anything of a finished run is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import mbmf
from mbmf.cli.main import main
from mbmf.errors import DataError
from run_on_disk import snapshot
from small_mb_run import MODEL_BASED, task_config

LARGE = "[65536, 65536, 65536, 65536]"
BASED = {**MODEL_BASED, "iterations": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(yaml.safe_dump(task_config(model_based=BASED)))
    assert command(folder, "mb") == 0
    assert command(folder, "mbmf", "--num_trpo_iters=1") == 0
    assert command(folder, "mf", "--num_trpo_iters=1") == 0
    return folder


def command(folder: Path, name: str, *flags: str) -> int:
    task = folder / "small.yaml"
    of_command = {
        "mb": (f"--yaml_file={task}", "--run_num=1", "--nthread=1"),
        "mbmf": ("--run_num=1", "--nthread=1", "--num_workers_trpo=1"),
        "mf": (f"--which_agent={task}", "--num_workers_trpo=1"),
    }
    return main([name, f"--runs_dir={folder / 'runs'}", "--print_minimal", *of_command[name], *flags])


@pytest.mark.parametrize(
    ("name", "flags", "what"),
    [
        ("mb", ("--overwrite", f"model_based.hidden={LARGE}"), "hidden and members"),
        ("mb", ("--use_existing_training_data", f"model_based.hidden={LARGE}"), "hidden and members"),
        ("mb", ("--overwrite", f"value={{hidden: {LARGE}}}"), "value.hidden"),
        ("mb", ("--overwrite", f"policy={{hidden: {LARGE}}}"), "policy.hidden"),
        ("mbmf", ("--overwrite", f"model_free.hidden={LARGE}"), "model_free.hidden"),
        ("mf", ("--overwrite", f"model_free.hidden={LARGE}"), "model_free.hidden"),
    ],
)
def test_what_is_there_stays(
    folder: Path, name: str, flags: tuple[str, str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(folder)
    assert command(folder, name, flags[0], "--set", flags[1]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"mbmf: {what} must need at most the memory that is free")
    assert snapshot(folder) == before


def test_a_model_that_is_not_the_tasks_is_not_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run would say of itself what is not so."""
    before = snapshot(folder)
    for setting, message in (
        (
            "model_based.hidden=[9]",
            "dynamics.hidden must be (9,), as of task small, for the model to be",
        ),
        ("dynamics.members=3", "dynamics.members must be 3"),
    ):
        assert command(folder, "mb", "--use_existing_dynamics_model", "--set", setting) == 2
        assert message in capsys.readouterr().err
        assert snapshot(folder) == before


def test_in_python_too() -> None:
    task = mbmf.load_task("swimmer_forward")
    sizes: Any = (65536,) * 4
    with pytest.raises(DataError, match="hidden must need at most the memory that is free"):
        mbmf.GaussianPolicy(task, sizes)
    episodes = mbmf.collect_random(task, 1, 20)
    with pytest.raises(DataError, match=r"hidden must need at most the memory .* got a network of 12,"):
        mbmf.ValueFunction(task, sizes).fit(episodes)
