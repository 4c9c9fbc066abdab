"""`mbmf sweep`: cases from settings, runs for each and each seed, the table and the curves."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.algorithms import model_free, sweep
from mbmf.algorithms.stages import Plan
from mbmf.cli.main import main
from mbmf.errors import ConfigError
from mbmf.show.learning_curves import Series, mean_curve
from mbmf.show.sweep_table import Row, summarize
from mbmf.show.sweeps import MAX_CASES, plot_cases
from run_numbers import numbers_of
from small_mb_run import MODEL_FREE, task_config

LAMBDAS = "model_free.gae_lambda=1,0.9"
CASES = ("model_free.gae_lambda=1", "model_free.gae_lambda=0.9")


def write_task(folder: Path) -> Path:
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(task_config(model_free=MODEL_FREE | {"iterations": 3})))
    return file


def command(folder: Path, *words: str) -> list[str]:
    file, output = write_task(folder), f"--output={folder / 'out'}"
    return ["sweep", "mf", str(file), "--set", LAMBDAS, output, "--seeds", "0", "1", *words]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder after a sweep of two cases with two seeds."""
    folder = tmp_path_factory.mktemp("swept")
    assert main(command(folder, "--jobs=2")) == 0
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "out/sweep.csv").open(newline="")))


def test_every_case_is_run_for_every_seed_to_the_bits_of_a_run_alone(swept: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    task = mbmf.load_task(swept / "small.yaml")
    changed = sweep.cases_of(task, sweep.grid([LAMBDAS]), "mf", Plan())[1].task
    settings = model_free.settings_of(changed)
    limits = model_free.Limits(settings.iterations)
    with model_free.open_run(alone, changed, settings, limits, seed=1) as run:
        model_free.model_free(changed, run, settings, limits, seed=1, nthread=1)
    assert numbers_of(swept / f"out/{CASES[1]}/mf_small_1") == numbers_of(alone)
    table = rows(swept)
    assert [(row["case"], row["seed"], row["state"]) for row in table] == [
        (case, seed, "finished") for case in CASES for seed in ("0", "1")
    ]
    assert [row["model_free.gae_lambda"] for row in table] == ["1", "1", "0.9", "0.9"]
    last = numbers_of(alone)["metrics"][-1]
    assert float(table[3]["reward"]) == pytest.approx(last["reward_mean"], rel=1e-5)
    assert int(table[3]["steps"]) == last["steps_total"]
    # the cases differ from their second iteration on
    assert len({row["reward"] for row in table}) == 4


def test_it_ends_with_a_table_and_curves(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = swept / "out"
    assert (out / "sweep.png").stat().st_size > 1000
    curves = list(csv.DictReader((out / "curves.csv").open(newline="")))
    assert {row["case"] for row in curves} == set(CASES)
    assert len(curves) == 2 * 2 * 3
    # again: nothing is left to do
    files = {path: path.stat().st_mtime_ns for path in out.glob("*/*/policy/*")}
    assert main(command(swept, "--jobs=1")) == 0
    said = capsys.readouterr().out
    assert "2 cases, 2 seeds each, 1 at a time" in said
    assert "4 of 4 finished, 100% done" in said
    assert said.count("2 of 2") == 2
    assert len(files) >= 8
    assert "of other cases" not in said
    (out / "another").mkdir()
    assert main(command(swept, "--jobs=1")) == 0
    (out / "another").rmdir()
    assert f"note: {out}: another: of other cases than these, and not in the table" in capsys.readouterr().out


def test_it_grows_by_values_seeds_and_iterations(swept: Path, tmp_path: Path) -> None:
    """What was run stays, under the names that the settings have."""
    file = tmp_path / "cases.yaml"
    file.write_text("- {}\n- {model_free.discount: 0.9}\n")
    settings = sweep.combined(sweep.listed(file), sweep.grid(["model_free.gae_lambda=1"]))
    names = [
        case.name for case in sweep.cases_of(mbmf.load_task(swept / "small.yaml"), settings, "mf", Plan())
    ]
    assert names == [CASES[0], "model_free.discount=0.9,model_free.gae_lambda=1"]


def test_a_run_that_fails_is_told_and_the_others_are_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = tmp_path / "out" / CASES[0] / "mf_small_0"
    spoiled.mkdir(parents=True)
    (spoiled / "mine.txt").write_text("no run")
    assert main(command(tmp_path, "--jobs=1", "--seeds", "0")) == 2
    said = capsys.readouterr()
    assert f"1 of 2 runs failed; {CASES[0]} seed 0: {spoiled}: run directory must be new" in said.err
    assert [row["state"] for row in rows(tmp_path)] == ["failed", "finished"]
    assert "run directory must be new" in rows(tmp_path)[0]["error"]


def test_what_failed_is_in_no_mean_and_no_curve(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of other settings is refused, and a damaged one is told; neither counts with the others."""
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    before = rows(tmp_path)
    config = tmp_path / "out" / CASES[0] / "mf_small_0" / "config.yaml"
    config.write_text(config.read_text().replace("episode_steps: ", "episode_steps: 1"))
    (tmp_path / "out" / CASES[1] / "mf_small_1" / "metrics.jsonl").write_text("{")
    assert main(command(tmp_path, "--jobs=1")) == 2
    said = capsys.readouterr()
    assert said.out.count("1 of 2") == 2
    after = rows(tmp_path)
    assert [row["state"] for row in after] == ["failed", "finished", "finished", "failed"]
    assert [after[1], after[2]] == [before[1], before[2]]
    assert all(row["error"] and not row["reward"] and row["steps"] == "0" for row in (after[0], after[3]))
    curves = list(csv.DictReader((tmp_path / "out/curves.csv").open(newline="")))
    first = [float(row["reward"]) for row in curves if row["case"] == CASES[0]]
    assert first[-1] == pytest.approx(float(before[1]["reward"]), rel=1e-5)


def test_model_based_learning_does_not_vary_what_it_does_not_use() -> None:
    task = mbmf.load_task("swimmer_forward")
    for word in ("imitation.epochs=1,2", "model_free.gae_lambda=1,0.9", "fine_tune.std_on_mlp_policy=0.3"):
        with pytest.raises(ConfigError, match="model-based learning does not use it"):
            sweep.cases_of(task, sweep.grid([word]), "mb", Plan())


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ([], [{}]),
        (["a=1"], [{"a": "1"}]),
        (["a=1, 2", "b.c=x"], [{"a": "1", "b.c": "x"}, {"a": "2", "b.c": "x"}]),
        (["a=[1,2],[3]"], [{"a": "[1,2]"}, {"a": "[3]"}]),
        (
            ["a={x: 1, y: 2}", "b='p,q',r"],
            [{"a": "{x: 1, y: 2}", "b": "'p,q'"}, {"a": "{x: 1, y: 2}", "b": "r"}],
        ),
    ],
)
def test_grids(words: list[str], settings: list[dict[str, str]]) -> None:
    assert sweep.grid(words) == settings


def test_names_of_cases_are_plain_and_different() -> None:
    found = [sweep._name({"a": value}) for value in ("[1, 2]", "[1_ 2]", "x" * 200, "x" * 201, "0.5")]
    assert len(set(found)) == 5
    assert found[-1] == "a=0.5"
    assert all(len(name) <= 80 and "/" not in name for name in found)
    assert sweep._name({}) == "default"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "model_free.gae_lambda=1,"], "--set must be of the form section.key=value,value,..., got"),
        (["--set", "model_free.gae_lambda"], "--set must be of the form section.key=value,value,..., got"),
        (["--set", "a.b=1", "a.b=2"], "--set must give each key once, with all its values, got a.b twice"),
        (["--set", "model_free.gae_lambda=1,2"], "--set: task: model_free.gae_lambda must be"),
        (["--set", "planner.horizon=3,4"], "--set must be without planner: model-free learning does not use"),
        (["--set", "cost[0].weight=3,4"], "--set must be without cost: model-free learning does not use"),
        (["--set", "episode_steps=9,9"], "cases must be different, got episode_steps=9 twice"),
        (["--seeds", "1", "1"], "seeds must be one or more different ones, 0 or higher, got (1, 1)"),
        (["--jobs=-1"], "--jobs must be at least 0, got -1"),
        (["--any_machine"], "--any_machine must be given together with --address, got no --address"),
        (["--address=there"], "address must be auto, local, ray://host:port or host:port, got 'there'"),
    ],
)
def test_bad_input(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["sweep", "mf", str(write_task(tmp_path)), f"--output={tmp_path / 'out'}", *words]
    assert main(given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("mine")
    assert main(given[:4]) == 2
    assert f"--output must be a folder, got the file {tmp_path / 'out'}" in capsys.readouterr().err


def test_a_run_is_no_folder_for_others(swept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = swept / "out" / CASES[0] / "mf_small_0"
    before = sorted(run.rglob("*"))
    assert main(["sweep", "mf", str(swept / "small.yaml"), f"--output={run}"]) == 2
    assert f"--output must be a folder for runs, got the run {run}" in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before


def test_limits_that_model_based_learning_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(write_task(tmp_path)), "--max_steps=5", f"--output={tmp_path / 'out'}", "--set", "cost=1"]
    assert main(["sweep", "mb", *words]) == 2
    said = capsys.readouterr().err
    assert "note: --max_steps and --stop_at_reward end fine-tuning and model-free learning only" in said
    assert main(["reproduce", words[0], "--stages", "mb", "--stop_at_reward=1", "--set", "a=1"]) == 2
    assert "note: --stop_at_reward: not used by the stage mb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a: 1}", "cases must be a list of mappings such as"),
        ("[]", "cases must be a list of mappings such as"),
        ("[3]", "got 3 at 0"),
        (
            "- {model_free.gae_lambda: 1}",
            "cases must not set what --set varies, got model_free.gae_lambda in both",
        ),
    ],
)
def test_bad_lists(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        sweep.combined(sweep.listed(file), sweep.grid([LAMBDAS]))


def test_too_many_cases() -> None:
    with pytest.raises(ConfigError, match="cases must be at most 10000, got 10001"):
        sweep.cases_of(mbmf.load_task("swimmer_forward"), [{}] * 10_001, "mb", Plan())


def test_summaries_are_over_seeds_that_have_a_reward() -> None:
    nan = float("nan")

    def row(case: str, seed: int, reward: float, **more: Any) -> Row:
        return Row(
            case, {}, seed, "finished" if reward == reward else "failed", 3, 100, reward, reward + 1, **more
        )

    one, other = summarize([row("a", 0, 1.0), row("a", 1, 3.0), row("a", 2, nan), row("b", 0, nan)])
    assert (one.case, one.seeds, one.finished) == ("a", 2, 2)
    assert (one.reward, one.best_reward, one.steps) == ((2.0, 1.0), (3.0, 1.0), 100.0)
    assert (other.seeds, other.finished) == (0, 0)


def test_of_many_cases_the_best_are_drawn() -> None:
    steps = np.array([1.0, 2.0])
    curves = {
        f"case {number}": mean_curve(
            [Series(steps, np.array([0.0, number])), Series(steps, np.array([1.0, number]))]
        )
        for number in range(MAX_CASES + 5)
    }
    figure = plot_cases(curves, title="many")
    (axes,) = figure.axes
    labels = [line.get_label() for line in axes.lines]
    assert len(labels) == MAX_CASES
    assert labels[0] == "case 5 (2 seeds)"
    assert axes.get_title() == f"many (the best {MAX_CASES} of {MAX_CASES + 5} cases)"
    with pytest.raises(ValueError, match="curves must be one or more, got none"):
        plot_cases({})
