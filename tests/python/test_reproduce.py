"""`mbmf reproduce`: every stage for every seed, interruptions, the figure and the table."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import mbmf
from mbmf.algorithms import reproduce
from mbmf.cli.main import main
from mbmf.errors import ConfigError
from run_numbers import numbers_of
from small_mb_run import FINE_TUNE, MODEL_FREE, task_config

LEARNING = {"model_free": MODEL_FREE, "fine_tune": FINE_TUNE}
STAGES = ("run_{}/imitation", "run_{}/mbmf_std0.5_1", "mf_small_{}")


def make_folder(folder: Path) -> Path:
    long = {section: {**settings, "iterations": 30} for section, settings in LEARNING.items()}
    best = {"fine_tune": long["fine_tune"] | {"std_on_mlp_policy": 0.3}, "model_free": long["model_free"]}
    best["model_free"] = best["model_free"] | {"gae_lambda": 0.9}
    (folder / "small.yaml").write_text(yaml.safe_dump(task_config(**long, recipes={"best": best})))
    return folder


def command(folder: Path, *flags: str) -> list[str]:
    task, output = folder / "small.yaml", f"--output={folder / 'out'}"
    return ["reproduce", str(task), output, "--seeds", "3", "5", "--max_steps=900", "--print_minimal", *flags]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after `mbmf reproduce` without interruption."""
    folder = make_folder(tmp_path_factory.mktemp("whole"))
    assert main(command(folder)) == 0
    return folder


def everything(folder: Path) -> dict[str, Any]:
    """What was computed."""
    out = folder / "out"
    found = {name: (out / name).read_text() for name in ("thresholds.csv", "thresholds.json")}
    runs = [stage.format(seed) for stage in STAGES for seed in (3, 5)]
    return found | {run: numbers_of(out / run) for run in runs}


def test_every_stage_is_run_for_every_seed(whole: Path) -> None:
    out = whole / "out"
    for seed in (3, 5):
        names = [f"run_{seed}", *(stage.format(seed) for stage in STAGES)]
        configs = [yaml.safe_load((out / name / "config.yaml").read_text()) for name in names]
        assert [c["algorithm"] for c in configs] == ["model_based", "imitation", "fine_tune", "model_free"]
        assert {config["seed"] for config in configs} == {seed}
        # both end once they have taken so many steps, those before fine-tuning included
        for name in names[2:]:
            steps = [record["steps_total"] for record in numbers_of(out / name)["metrics"]]
            assert steps[-1] >= 900 > steps[-2]
        labelled = numbers_of(out / names[1])["summary"]["steps_total"]
        assert labelled < numbers_of(out / names[2])["metrics"][0]["steps_total"]
    assert numbers_of(out / "mf_small_3") != numbers_of(out / "mf_small_5")


def test_it_ends_with_a_figure_and_a_table(whole: Path) -> None:
    out = whole / "out"
    assert (out / "mbmf_small.png").stat().st_size > 1000
    assert (out / "mbmf_small.svg").stat().st_size > 1000
    assert (out / "mbmf_small.csv").read_text().startswith("method,run,steps,reward\nMB,")
    table = list(csv.DictReader((out / "thresholds.csv").open(newline="")))
    contents = json.loads((out / "thresholds.json").read_text())
    assert contents["seeds"] == [3, 5]
    assert [float(row["share"]) for row in table] == [0.25, 0.5, 0.75, 0.9]
    for row in table:
        assert float(row["reward"]) == pytest.approx(float(row["share"]) * contents["mf_best"])
        assert float(row["mf_steps"]) <= 1000


@pytest.mark.slow
def test_interrupted_anywhere_it_goes_on_where_it_was(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path)

    for place in (
        "mbmf.algorithms.model_based.DynamicsModel.save",
        "mbmf.algorithms.imitation_checkpoint.save",
        "mbmf.algorithms.policy_iteration.trpo_step",
        "mbmf.algorithms.model_free.model_free",
        "mbmf.cli.reproduce_results.save_figure",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, _interrupt)
            assert main(command(folder)) == 130
        assert not (folder / "out/thresholds.csv").exists()
    flags = f"{folder / 'small.yaml'} --seeds 3 5 --max_steps=900 --output={folder / 'out'} --print_minimal"
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr("mbmf.algorithms.reproduce.reproduce", _interrupt)
        assert main(command(folder)) == 130
    assert f"Interrupted. To continue:\n  mbmf reproduce {flags}" in capsys.readouterr().err
    assert main(command(folder)) == 0
    assert everything(folder) == everything(whole)
    # what is finished is left as it is
    files = {path: path.stat().st_mtime_ns for path in folder.glob("out/**/*.npz")}
    assert len(files) > 10
    assert main(command(folder)) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("out/**/*.npz")} == files
    assert everything(folder) == everything(whole)
    # and goes on with a higher limit
    assert main(command(folder, "--max_steps=1000")) == 0
    assert numbers_of(folder / "out/mf_small_3")["summary"]["steps_total"] >= 1000


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "3", "3"], "seeds must be one or more different ones, 0 or higher, got (3, 3)"),
        (["--seeds", "-1"], "seeds must be one or more different ones, 0 or higher, got (-1,)"),
        (["--max_steps=0"], "--max_steps must be at least 1, got 0"),
        (["--set", "recipe=best"], "--set must be without recipe: --recipe is for that, got 'recipe=best'"),
        (["--recipe"], "--recipe must be one or more different ones, got none"),
        (["--recipe", "paper", "paper"], "--recipe must be one or more different ones, got paper paper"),
        (
            ["--recipe", "paper", "bast"],
            "recipe must be a recipe (paper, best; nearest: best) of small, got",
        ),
        (
            ["--stages", "mf", "mf"],
            "stages must be one or more different ones of mb, mbmf, mf, got ('mf', 'mf')",
        ),
        (["--nthread=-1"], "--nthread must be at least 0, got -1"),
        (["--num_rollouts_save_for_mf=0"], "--num_rollouts_save_for_mf must be at least 1, got 0"),
        (
            ["--set", "model_based.rollouts_to_save=0"],
            "task small: model_based.rollouts_to_save must be at least 1 for imitation, got 0",
        ),
        (["--std_on_mlp_policy=-1"], "--std_on_mlp_policy must be above 0 and at most 1e+06, got -1"),
        (["--stop_at_reward=nan"], "--stop_at_reward must be a number, got nan"),
        (["--paper"], "--paper must be given for one of swimmer, half_cheetah, hopper, ant only, got small"),
    ],
)
def test_bad_input(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(make_folder(tmp_path), *flags)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("mine")
    assert main(command(tmp_path)) == 2
    assert f"--output must be a folder, got the file {tmp_path / 'out'}" in capsys.readouterr().err


@pytest.mark.parametrize("section", ["model_based", "imitation", "model_free"])
def test_a_task_without_a_section_is_refused_before_any_work(section: str, tmp_path: Path) -> None:
    task = mbmf.load_task(task_config(**{section: None}))
    with pytest.raises(ConfigError, match=f"task small: {section} must be given"):
        reproduce.reproduce([reproduce.Experiment(task, "small", tmp_path / "out")], reproduce.Plan())
    assert not (tmp_path / "out").exists()


def test_settings_of_a_run_must_stay(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(whole, "--num_rollouts_save_for_mf=3")) == 2
    error = capsys.readouterr().err
    assert "num_rollouts_save_for_mf must be 3 to resume the run" in error
    assert "to go on with the run, give the command that it was made with; --output=FOLDER" in error


def test_rewards_that_are_not_positive_have_no_shares(
    whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mbmf.show.learning_curves.Curve.best", property(lambda curve: -1.0))
    assert main(command(whole)) == 0
    assert "note: no table: the best mean reward of MF must be positive" in capsys.readouterr().out


def test_recipes_beside_each_other(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, flags = make_folder(tmp_path), ["--recipe", "paper", "best"]
    with monkeypatch.context() as patch:
        patch.setattr("mbmf.algorithms.reproduce.reproduce", _interrupt)
        assert main(command(folder, *flags)) == 130
    err = capsys.readouterr().err
    assert "--recipe paper best --max_steps=900 --output" in err
    assert main(command(folder, *flags)) == 0
    shown = capsys.readouterr().out
    assert "control steps to a reward (times fewer than MF, paper)" in shown
    out = folder / "out"
    # each recipe is what it is alone, and the paper's are the task's own sections
    for name in ("mf_small_3", "run_5/mbmf_std0.5_1"):
        assert numbers_of(out / "paper" / name) == numbers_of(whole / "out" / name)
    assert numbers_of(out / "best/run_3")["metrics"] == numbers_of(whole / "out/run_3")["metrics"]
    configs = [
        yaml.safe_load((out / f"best/{run}/config.yaml").read_text())
        for run in ("mf_small_best_3", "run_3/mbmf_std0.3_1")
    ]
    assert configs[0]["task"]["model_free"]["gae_lambda"] == 0.9
    assert configs[1]["settings"]["initial_std"] == 0.3
    for recipe, agent in (("paper", "small"), ("best", "small_best")):
        assert (out / recipe / f"mbmf_{agent}.png").stat().st_size > 1000
        assert (out / recipe / "thresholds.csv").exists()
    # the table by hand, from the curves that are written beside it
    assert (out / "recipes.png").stat().st_size > 1000
    curves = list(csv.DictReader((out / "recipe_curves.csv").open(newline="")))
    assert {(row["recipe"], row["method"]) for row in curves} == {
        (recipe, method) for recipe in ("paper", "best") for method in ("MB", "MBMF", "MF")
    }
    table = list(csv.DictReader((out / "recipes.csv").open(newline="")))
    assert [(row["recipe"], row["method"]) for row in table[::4]] == [
        ("paper", "MF"), ("best", "MF"), ("paper", "MBMF"), ("best", "MBMF")
    ]  # fmt: skip
    alone = list(csv.DictReader((whole / "out/thresholds.csv").open(newline="")))
    for i, row in enumerate(alone):
        assert [table[i]["steps"], table[8 + i]["steps"]] == [row["mf_steps"], row["mbmf_steps"]]
    for i, row in enumerate(table):
        base = table[i % 4]["steps"]
        assert row["ratio"] == "" or float(row["ratio"]) == pytest.approx(float(base) / float(row["steps"]))
    contents = json.loads((out / "recipes.json").read_text())
    assert contents["recipes"] == ["paper", "best"]
    assert len(contents["rows"]) == len(table) == 16


def _interrupt(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def test_stages_alone_and_then_the_rest(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path)
    out = folder / "out"
    assert main(command(folder, "--stages", "mf")) == 0
    assert not (out / "run_3").exists()
    assert "there is no" not in capsys.readouterr().out
    assert main(command(folder, "--stages", "mb")) == 0
    assert not (out / "run_3/imitation").exists()
    assert "there is no" not in capsys.readouterr().out
    assert (out / "mbmf_small.csv").read_text().count("MF,") == 0
    assert main(command(folder)) == 0
    assert everything(folder) == everything(whole)
