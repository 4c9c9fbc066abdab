"""``mbmf plot``: figures of runs that are whole, partial, missing or damaged."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
import small_mb_run
from mbmf.cli import main as cli
from mbmf.errors import DataError
from mbmf.policies.policy import fingerprint
from mbmf.rollouts.episodes import Episodes
from mbmf.runs.run import Run
from mbmf.show.run_curves import find_runs, read_curves
from mbmf.show.run_figures import forward_simulation_figure, loss_figure, path_figure, reward_figure
from small_mb_run import MODEL_BASED, task_config


def make_run(path: Path, algorithm: str, points: list[tuple[float, float]], **config: Any) -> Path:
    """A run directory with a learning curve and nothing else."""
    path.mkdir(parents=True)
    task = config.pop("task", "swimmer_forward")
    finished = config.pop("finished", True)
    (path / "config.yaml").write_text(
        yaml.safe_dump({"algorithm": algorithm, "task": {"name": task}, "seed": 0, **config})
    )
    lines = [
        json.dumps({"iteration": i, "steps_total": steps, "reward_mean": reward})
        for i, (steps, reward) in enumerate(points, start=1)
    ]
    (path / "metrics.jsonl").write_text("".join(line + "\n" for line in lines))
    if finished:
        (path / "summary.json").write_text("{}")
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two seeds of everything."""
    for number, seed in ((1, 0), (2, 70)):
        run = make_run(tmp_path / f"run_{number}", "model_based", [(10, seed), (20, 30 + seed)], seed=seed)
        make_run(run / "imitation", "imitation", [(40, 36), (50, 38)], seed=seed)
        settings = {"initial_std": 0.5}
        make_run(run / "mbmf_std0.5_1", "fine_tuning", [(100, 9), (200, 60)], seed=seed, settings=settings)
        make_run(tmp_path / f"mf_swimmer_{number}", "model_free", [(60, 1), (200, 20), (900, 58)], seed=seed)
    return tmp_path


def messages(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> list[str]:
    """Runs `mbmf plot`; returns what it said on standard error."""
    assert cli.main(["plot", *args]) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said.splitlines()


def test_curves_of_all_stages(runs: Path) -> None:
    notes: list[str] = []
    curves = read_curves(
        "swimmer_forward",
        [runs / "run_1", runs / "run_2"],
        find_runs(runs, "mf_*", "swimmer_forward", [0, 70]),
        std=0.5,
        note=notes.append,
    )
    assert notes == []
    np.testing.assert_array_equal(curves["MB"].steps, [10, 20])
    np.testing.assert_array_equal(curves["MB"].mean, [35, 65])
    np.testing.assert_array_equal(curves["MBMF"].steps, [10, 20, 40, 50, 100, 200])
    np.testing.assert_array_equal(curves["MBMF"].mean, [35, 65, 36, 38, 9, 60])
    np.testing.assert_array_equal(curves["MF"].mean, [1, 20, 58])
    assert len(curves["MF"].series) == 2


def test_find_runs_takes_the_longest_of_each_seed(runs: Path) -> None:
    assert find_runs(runs, "mf_*", "swimmer_forward") == [runs / "mf_swimmer_1", runs / "mf_swimmer_2"]
    # fewer iterations of more steps, and more of fewer
    longer = make_run(runs / "mf_swimmer_9", "model_free", [(600, 1), (1000, 2)], seed=0)
    make_run(runs / "mf_swimmer_8", "model_free", [(1, 1), (2, 2), (3, 3), (4, 4)], seed=0)
    (runs / "mf_swimmer_3").mkdir()
    (runs / "mf_swimmer_3/config.yaml").write_text("- damaged")
    assert find_runs(runs, "mf_*", "swimmer_forward") == [longer, runs / "mf_swimmer_2"]
    assert find_runs(runs, "mf_*", "swimmer_forward", [70]) == [runs / "mf_swimmer_2"]
    assert find_runs(runs, "mf_*", "hopper_forward") == []


def test_plot_mbmf_as_the_original_is_called(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        f"--trpo_dir={runs}",
        "--std_on_mlp_policy=0.5",
        "--which_agent=2",
        f"--runs_dir={runs}",
        "--paper",
    ]
    assert cli.main(["plot", "mbmf", *args, "--run_nums", "1", "2", "--seeds", "0", "70"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    written = [runs / f"plots/mbmf_swimmer_std0.5.{ending}" for ending in ("png", "svg", "csv")]
    assert printed.out.split() == list(map(str, written))
    assert written[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in written[1].read_bytes()
    with written[2].open(newline="") as file:
        rows = list(csv.DictReader(file))
    mf = [row for row in rows if row["method"] == "MF" and row["run"].endswith("mf_swimmer_1")]
    metrics = Run(runs / "mf_swimmer_1").metrics()
    assert [int(row["steps"]) for row in mf] == [each["steps_total"] for each in metrics]
    np.testing.assert_allclose(
        [float(row["reward"]) for row in mf], [m["reward_mean"] for m in metrics], 1e-5
    )
    assert {row["method"] for row in rows} == {"MB", "MBMF", "MF"}


def test_plot_mbmf_finds_runs_by_itself(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = runs / "mine" / "std_0.5"
    assert messages(capsys, "mbmf", "--which_agent=swimmer", f"--runs_dir={runs}", f"--output={out}") == []
    assert {path.name for path in (runs / "mine").iterdir()} == {
        "std_0.5.png",
        "std_0.5.svg",
        "std_0.5.csv",
    }


def test_runs_may_have_names(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "run_1").rename(runs / "best")
    (runs / "mf_swimmer_1").rename(runs / "baseline")
    args = ["mbmf", "--which_agent=swimmer", f"--runs_dir={runs}"]
    for chosen in ([], ["--run_nums", "best", "2"]):
        assert messages(capsys, *args, *chosen) == []
        with (runs / "plots/mbmf_swimmer.csv").open(newline="") as file:
            found = {(row["method"], Path(row["run"]).name) for row in csv.DictReader(file)}
        assert {("MB", "best"), ("MB", "run_2"), ("MF", "baseline"), ("MF", "mf_swimmer_2")} <= found


def test_what_is_missing_is_said_and_the_rest_is_plotted(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(runs / "run_1/mbmf_std0.5_1")
    shutil.rmtree(runs / "mf_swimmer_2")
    (runs / "run_2/summary.json").unlink()
    (runs / "run_2/mbmf_std0.5_1/summary.json").unlink()
    args = ["mbmf", "--which_agent=2", f"--runs_dir={runs}", "--run_nums", "1", "2", "8"]
    assert messages(capsys, *args) == [
        f"note: {runs}: there is no run of mbmf mf of swimmer with seed 70",
        f"note: {runs / 'run_1'}: there is no fine-tuning: mbmf mbmf makes it",
        f"note: {runs / 'run_2'}: the run is not finished, 2 iterations are shown",
        f"note: {runs / 'run_2/mbmf_std0.5_1'}: the run is not finished, 2 iterations are shown",
        f"note: {runs / 'run_8'}: there is no run",
    ]
    assert (runs / "plots/mbmf_swimmer.png").exists()


def test_fine_tuning_with_another_deviation_is_named(runs: Path) -> None:
    notes: list[str] = []
    curves = read_curves("swimmer_forward", [runs / "run_1"], [], std=1.0, note=notes.append)
    assert list(curves) == ["MB"]
    assert notes == [
        f"{runs / 'run_1'}: there is no fine-tuning with --std_on_mlp_policy=1 "
        "(there is mbmf_std0.5_1): mbmf mbmf makes it"
    ]


def test_fine_tuning_of_a_policy_that_was_replaced_is_left_out(runs: Path) -> None:
    policies = [mbmf.GaussianPolicy(mbmf.load_task("swimmer_forward"), (8,), seed=seed) for seed in (0, 1)]
    file = runs / "run_1/imitation/policy/policy.safetensors"
    file.parent.mkdir()
    policies[0].save(file)
    tuned = runs / "run_1/mbmf_std0.5_1"
    config = yaml.safe_load((tuned / "config.yaml").read_text())
    for policy, kept in zip(policies, (True, False), strict=True):
        (tuned / "config.yaml").write_text(yaml.safe_dump(config | {"imitation_policy": fingerprint(policy)}))
        notes: list[str] = []
        curves = read_curves("swimmer_forward", [runs / "run_1"], [], note=notes.append)
        assert list(curves) == (["MB", "MBMF"] if kept else ["MB"])
        said = f"{tuned}: went on from an imitation policy that was replaced since, and is left out"
        assert (said in notes) != kept


def test_one_of_several_fine_tunings(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = runs / "run_1"
    settings = {"initial_std": 0.5}
    make_run(folder / "mbmf_std0.5_2", "fine_tuning", [(100, 1), (150, 2), (160, 3)], settings=settings)

    def rewards(**which: float) -> tuple[list[float], list[str]]:
        notes: list[str] = []
        curves = read_curves("swimmer_forward", [folder], [], note=notes.append, **which)
        return list(curves["MBMF"].series[0].rewards[-3:]), notes

    # the first has more steps, the second more iterations
    longest, notes = rewards(std=0.5)
    assert notes == [
        f"{folder / 'mbmf_std0.5_1'}: the longest of 2 is shown; mbmf plot mbmf --save_trpo_run_num "
        "takes another"
    ]
    assert rewards(number=1) == (longest, [])
    assert rewards(number=2) == ([1, 2, 3], [])
    args = ("mbmf", "--which_agent=2", f"--runs_dir={runs}", "--run_nums", "1", "--save_trpo_run_num=3")
    assert (
        f"note: {folder}: there is no fine-tuning with --save_trpo_run_num=3 (there is mbmf_std0.5_1, "
        "mbmf_std0.5_2): mbmf mbmf makes it"
    ) in messages(capsys, *args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["mbmf", "--which_agent=9"], "--which_agent must be an agent's number or name"),
        (["mbmf", "--which_agent=6"], "there must be a run to plot, got none: no directory"),
        (["mbmf", "--which_agent=6", "--run_nums", "7"], "there must be a run to plot, got none: "),
        (["mbmf", "--which_agent=6", "--run_nums", "1"], "task must be hopper_forward, got swimmer_forward"),
        (["mbmf", "--which_agent=2", "--run_nums", "1", "2", "--seeds", "0"], "--seeds must be one for each"),
        (["mbmf", "--which_agent=2", "--run_nums", "1", "--seeds", "5"], "run_1 has 0, got 5"),
        (["mbmf", "--which_agent=2", "--trpo_dir=nowhere"], "nowhere: folder of runs must exist, got none"),
        (["mbmf", "--which_agent=2", "--run_nums", "-1"], "--run_num must be at least 0, got -1"),
        (
            ["mbmf", "--which_agent=2", "--run_nums", "1", "1"],
            "--run_nums must be different runs, got 1 twice",
        ),
        (["mbmf", "--which_agent=2", "--run_nums", "1", "01"], "--run_nums must be different runs, got 1"),
        (["loss", "--run_nums", "a/b"], "--run_num must be a number or"),
        (["loss", "--run_nums", "7"], "config.yaml: run must exist, got none"),
        (["loss", "--run_nums"], "--run_nums must be one or more runs, got none"),
        (["forwardsim", "--run_nums", "7"], "config.yaml: run must exist, got none"),
    ],
)
def test_bad_input(runs: Path, args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(runs.rglob("*"))
    *notes, said = messages(capsys, *args, f"--runs_dir={runs}", code=2)
    assert said.startswith("mbmf: ")
    assert message in said
    assert all(note.startswith("note: ") for note in notes)
    assert sorted(runs.rglob("*")) == before


def test_plot_loss_and_forwardsim(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("loss", "forwardsim"):
        out = tmp_path / kind
        assert messages(capsys, kind, "--run_num", "1", f"--runs_dir={small_runs}", f"--output={out}") == []
        assert out.with_suffix(".png").exists()
        assert out.with_suffix(".svg").exists()
    # by name, into the folders of the runs
    shutil.copytree(small_runs / "run_1", tmp_path / "demo")
    shutil.copytree(small_runs / "run_1", tmp_path / "run_3")
    assert messages(capsys, "loss", "--run_num", "demo", f"--runs_dir={tmp_path}") == []
    assert (tmp_path / "demo/plots/loss.png").exists()
    assert messages(capsys, "loss", "--run_nums", "demo", "3", f"--runs_dir={tmp_path}") == []
    assert (tmp_path / "plots/loss_demo_3.png").exists()


def test_figures_of_a_run(small_runs: Path, tmp_path: Path) -> None:
    run = small_runs / "run_1"
    left, right = loss_figure([run]).axes
    validation = next(line for line in left.lines if line.get_label() == "validation data")
    assert np.isfinite(validation.get_ydata()).all()
    assert len(validation.get_ydata()) == 2
    assert len(right.lines) >= 5

    figure = forward_simulation_figure([run], iteration=1, index=1, start=5, steps=10)
    assert "run_1, iteration 1" in [line.get_label() for line in figure.axes[0].lines]
    assert "episode 1 from step 5" in figure.get_suptitle()

    returns = [record["returns"] for record in Run(run).metrics()]
    mean = next(line for line in reward_figure(run).axes[0].lines if line.get_marker() == "o")
    np.testing.assert_allclose(mean.get_ydata(), np.mean(returns, axis=1))


def test_a_method_whose_seeds_do_not_overlap_is_left_out(tmp_path: Path) -> None:
    """The other methods have their curves all the same; what was good enough holds its reward."""
    mb = make_run(tmp_path / "run_1", "model_based", [(10, 1.0), (20, 2.0)])
    far = [make_run(tmp_path / f"mf_{i}", "model_free", [(at, 3.0)]) for i, at in enumerate((155, 161))]
    notes: list[str] = []
    assert set(read_curves("swimmer_forward", [mb], far, note=notes.append)) == {"MB"}
    assert any(each.startswith("MF is left out: the seeds' curves must overlap") for each in notes)
    with pytest.raises(DataError, match="MF is left out: the seeds' curves must overlap"):
        read_curves("swimmer_forward", [], far, note=notes.append)
    (far[0] / "summary.json").write_text('{"stopped_at_reward": true}')
    curve = read_curves("swimmer_forward", [], far, note=notes.append)["MF"]
    assert curve.steps.tolist() == [161]


def test_a_task_without_validation_data_lacks_none(tmp_path: Path) -> None:
    config = task_config(model_based={**MODEL_BASED, "random_validation": None, "rollouts_for_training": 2})
    run = small_mb_run.make_run(tmp_path / "run", config)
    notes: list[str] = []
    loss_figure([run], note=notes.append)
    assert notes == []


def test_a_partial_run(small_runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run_1"
    shutil.copytree(small_runs / "run_1", run)
    (run / "models/iteration_2.safetensors").unlink()
    (run / "summary.json").unlink()
    notes: list[str] = []
    loss_figure([run], note=notes.append)
    assert notes == [
        f"{run}: the run is not finished, 2 iterations are shown",
        f"{run}: validation data or models are missing: not every iteration has its loss on them",
    ]
    with pytest.raises(DataError, match=r"the model of iteration 2 must exist, got 1$"):
        forward_simulation_figure([run])
    (run / "rollouts/iteration_1.npz").unlink()
    with pytest.raises(DataError, match="rollouts of iteration 1 must exist, got none"):
        forward_simulation_figure([run], iteration=1)
    (run / "metrics.jsonl").unlink()
    with pytest.raises(DataError, match="run must have a finished iteration, got none yet"):
        loss_figure([run])
    with pytest.raises(DataError, match="run must be one of mbmf mb, got one of model_free"):
        loss_figure([make_run(tmp_path / "mf", "model_free", [(1, 1)])])


def test_plot_trajfollow(path_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["trajfollow", "--run_num", "4", f"--runs_dir={path_runs}", f"--output={tmp_path / 'paths'}"]
    assert messages(capsys, *args) == []
    assert (tmp_path / "paths.svg").exists()

    figure = path_figure([path_runs / "run_4"])
    titles = [axes.get_title().splitlines() for axes in figure.axes]
    assert [title[0] for title in titles] == ["run_4: straight, iteration 1", "run_4: zigzag, iteration 1"]
    assert "of 2 past segment 2; " in titles[1][1]
    episodes = Episodes.load(path_runs / "run_4/paths/zigzag/rollouts/iteration_1.npz")
    assert episodes.path is not None
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[1].lines}
    np.testing.assert_allclose(lines["desired path"], [[0, 0], [0.05, 0.02], [0.1, -0.02], [0.3, 0.1]])
    places = episodes.states[1, : episodes.lengths[1] + 1, 10:12] - episodes.path.origins[1]
    np.testing.assert_allclose(lines["rollout 1"], places)


def test_a_path_without_its_configuration_is_said(path_runs: Path, tmp_path: Path) -> None:
    """The figure was drawn without it, and nobody said so."""
    run = tmp_path / "run_4"
    shutil.copytree(path_runs / "run_4", run)
    (run / "paths/zigzag/config.yaml").unlink()
    notes: list[str] = []
    assert len(path_figure([run], note=notes.append).axes) == 1
    assert notes == [f"{run / 'paths/zigzag/config.yaml'}: configuration is missing"]


def test_runs_without_paths(small_runs: Path) -> None:
    notes: list[str] = []
    with pytest.raises(DataError, match=r"runs must have rollouts that followed a path, got .*run_1"):
        path_figure([small_runs / "run_1"], note=notes.append)
    assert notes == [f"{small_runs / 'run_1'}: the task swimmer_forward follows no path"]


def test_seeds_of_different_experiments_are_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["mbmf", "--which_agent=2", f"--runs_dir={runs}", "--run_nums", "1", "2"]
    assert messages(capsys, *args) == []
    for run, section, values in (
        ("run_1", "model_based", {"iterations": 3}),  # as far as it goes
        ("run_2", "model_based", {"iterations": 4}),
        ("run_2", "dynamics", {"hidden": [4]}),
        ("run_2", "model_free", {"hidden": [4]}),  # of another method
    ):
        config = yaml.safe_load((runs / run / "config.yaml").read_text())
        config["task"][section] = values
        (runs / run / "config.yaml").write_text(yaml.safe_dump(config))
    (said,) = messages(capsys, *args)
    assert said.startswith(f"note: {runs / 'run_2'}: task.dynamics is {{")
    assert ", and nothing in " in said
    assert said.endswith("run_1: seeds of different experiments")
    for number, value in ((1, 8), (2, 9)):
        file = runs / f"mf_swimmer_{number}/config.yaml"
        config = yaml.safe_load(file.read_text())
        config["task"]["model_free"] = {"batch_size": value}
        file.write_text(yaml.safe_dump(config))
    assert any("mf_swimmer_2: task.model_free." in line for line in messages(capsys, *args))
    for number, value in ((1, 8), (2, 8)):
        file = runs / f"mf_swimmer_{number}/config.yaml"
        config = yaml.safe_load(file.read_text())
        config["task"]["model_free"] = {"batch_size": value}
        config["settings"] = {"batch_size": number}  # a flag's
        file.write_text(yaml.safe_dump(config))
    assert any("mf_swimmer_2: settings.batch_size is 2, and 1" in line for line in messages(capsys, *args))
