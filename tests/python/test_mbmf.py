"""The command `mbmf mbmf`: fine-tuning of what imitation learned, interruptions, refusals."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf.algorithms import fine_tune, model_free, policy_iteration
from mbmf.cli.main import main
from mbmf.errors import ConfigError, DataError
from mbmf.policies.policy import fingerprint
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from run_numbers import numbers_of
from run_on_disk import snapshot
from small_mb_run import FINE_TUNE, MODEL_BASED, make_run, task_config

MBMF = "mbmf_std0.5_1"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of `mbmf mb`, run_1, whose task had no sections for what comes after."""
    folder = tmp_path_factory.mktemp("finished")
    before = task_config(model_free=None, imitation=None, fine_tune=None)
    make_run(folder / "runs" / "run_1", before, seed=4)
    (folder / "small.yaml").write_text(yaml.safe_dump(task_config()))
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "folder"))


def command(folder: Path, *flags: str) -> list[str]:
    return ["mbmf", f"--which_agent={folder / 'small.yaml'}", f"--runs_dir={folder / 'runs'}", *flags]


@pytest.fixture(scope="module")
def whole(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after `mbmf mbmf`."""
    path = Path(shutil.copytree(finished, tmp_path_factory.mktemp("whole") / "folder"))
    assert main(command(path)) == 0
    return path


def both(folder: Path) -> list[dict[str, Any]]:
    return [numbers_of(folder / "runs/run_1" / name) for name in ("imitation", MBMF)]


def test_steps_are_counted_as_the_method_says(whole: Path) -> None:
    run = whole / "runs/run_1"
    learned, tuned = both(whole)
    mb = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    saved = mbmf.Episodes.load(run / "rollouts/saved.npz")
    labelled = sum(record["steps_labelled"] for record in learned["metrics"])
    before = mb["steps_total"] + saved.nsteps + labelled
    assert labelled == 2 * 60
    assert learned["summary"]["steps_total"] == before
    steps = [record["steps"] for record in tuned["metrics"]]
    assert [r["steps_total"] for r in tuned["metrics"]] == (before + np.cumsum(steps)).tolist()
    # fine_tune's batch, not model_free's
    assert all(100 <= count < 130 for count in steps)
    assert len(steps) == 3


def test_fine_tuning_starts_from_the_imitation_policy(whole: Path) -> None:
    task = mbmf.load_task(whole / "small.yaml")
    run = whole / "runs/run_1"
    start = mbmf.GaussianPolicy.load(run / "imitation/policy/policy.safetensors", task)
    start.set_std(0.5)
    settings = model_free.settings_of(task)
    batch = mbmf.collect_policy(
        task,
        start,
        100,
        seed=mbmf.seeds.derive_seed(4, policy_iteration._EPISODES),
        max_episode_steps=settings.steps_per_rollout,
    )
    first = numbers_of(run / MBMF)["metrics"][0]
    assert first["reward_mean"] == pytest.approx(batch.returns.mean())
    assert first["policy_std"] == pytest.approx(0.5)
    config = yaml.safe_load((run / MBMF / "config.yaml").read_text())
    assert config["algorithm"] == "fine_tune"
    assert config["seed"] == 4
    assert config["imitation_policy"] == fingerprint(start)


def test_settings_go_before_those_of_the_sections() -> None:
    task = mbmf.load_task(task_config())
    settings = fine_tune.settings_of(task)
    assert (settings.initial_std, settings.batch_size, settings.iterations) == (0.5, 100, 3)
    assert (settings.hidden, settings.steps_per_rollout) == ((8, 8), 30)
    assert settings.gae_lambda == 1
    own = mbmf.load_task(task_config(fine_tune={**FINE_TUNE, "gae_lambda": 0.8}))
    assert fine_tune.settings_of(own).gae_lambda == 0.8
    assert fine_tune.settings_of(own, gae_lambda=0.7).gae_lambda == 0.7
    settings = fine_tune.settings_of(task, std=2, batch_size=40, iterations=7, gae_lambda=0.9)
    assert (settings.initial_std, settings.batch_size, settings.iterations) == (2, 40, 7)
    assert settings.gae_lambda == 0.9
    # without a section of its own all is as in model_free
    settings = fine_tune.settings_of(mbmf.load_task(task_config(fine_tune=None)))
    assert (settings.initial_std, settings.batch_size, settings.iterations) == (1, 150, 9)
    small = mbmf.load_task(task_config(fine_tune={**FINE_TUNE, "batch_size": 29}))
    with pytest.raises(ConfigError, match=r"fine_tune\.batch_size must be at least one episode, .* got 29"):
        fine_tune.settings_of(small)
    for name, std, batch_size, iterations in (
        ("swimmer_forward", 1.0, 50_000, 200),
        ("cheetah_forward", 0.5, 50_000, 2000),
        ("hopper_forward", 1.0, 25_000, 2000),
        ("ant_forward", 0.5, 50_000, 2500),
    ):
        settings = fine_tune.settings_of(mbmf.load_task(name))
        assert (settings.initial_std, settings.batch_size, settings.iterations) == (
            std,
            batch_size,
            iterations,
        )


def test_command_shows_each_iteration(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, "--print_minimal", "--num_trpo_iters=2", "--num_workers_trpo=1")) == 0
    learned, tuned = both(folder)
    lines = capsys.readouterr().out.splitlines()
    words = [line.split() for line in lines]
    for of, records in ((3, learned["metrics"]), (2, tuned["metrics"])):
        shown = [row for row in words if row and row[0].endswith(f"/{of}")]
        assert [row[0] for row in shown] == [f"{record['iteration']}/{of}" for record in records]
        assert all(f"{record['reward_mean']:.2f}" in row for row, record in zip(shown, records, strict=True))
    text = " ".join(" ".join(lines).split())
    mpc = learned["summary"]["mpc_reward_mean"]
    assert f"the MPC rollouts that it learned from {mpc:.2f}" in text
    assert "Stopped after 2 iterations: 2 iterations are done." in text


def test_what_is_left_to_fine_tune_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # steps of mbmf mb are known at once, those of imitation after it
    for steps, noted in ((1, True), (source_steps(folder) + 1, False)):
        assert main(command(folder, f"--max_steps={steps}", "--overwrite")) == 0
        shown = capsys.readouterr()
        assert ("nothing will be fine-tuned" in shown.err) == noted
        taken = json.loads((folder / "runs/run_1" / MBMF / "summary.json").read_text())["steps_total"]
        said = f"There was no iteration to do: {taken:,} steps were taken, max_steps is {steps:,}."
        assert said in " ".join(shown.out.split())
    assert main(command(folder, "--num_trpo_iters=1", "--overwrite")) == 0
    assert "Stopped after 1 iteration: 1 iteration is done." in " ".join(capsys.readouterr().out.split())


def source_steps(folder: Path) -> int:
    """Control steps of the run that is imitated, and of its saved rollouts."""
    with Run.read(folder / "runs/run_1") as run:
        source = ModelBasedResult.load(run, mbmf.load_task(folder / "small.yaml"))
    return source.steps + source.rollouts.nsteps


def test_a_second_run_of_the_same_policy(
    folder: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder)) == 0
    # nothing is redone unasked
    assert main(command(folder)) == 2
    message = capsys.readouterr().err
    assert "run directory must be new" in message
    assert "--use_existing_pretrained_policy" in message
    flags = ("--use_existing_pretrained_policy", "--save_trpo_run_num=2", "--seed=9")
    assert main(command(folder, *flags, "--std_on_mlp_policy=0.25")) == 0
    config = yaml.safe_load((folder / "runs/run_1/mbmf_std0.25_2/config.yaml").read_text())
    assert (config["std_on_mlp_policy"], config["seed"]) == (0.25, 9)
    assert both(folder) == both(whole)
    # with the same number it is redone when that is asked for, imitation left as it is
    flags = ("--use_existing_pretrained_policy", "--num_trpo_iters=1")
    assert main(command(folder, *flags)) == 2
    assert main(command(folder, *flags, "--overwrite")) == 0
    assert numbers_of(folder / "runs/run_1" / MBMF)["summary"]["iterations"] == 1
    assert both(folder)[0] == both(whole)[0]


def test_fewer_epochs_of_imitation(folder: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, "--imitation_epochs=1")) == 0
    config = yaml.safe_load((folder / "runs/run_1/imitation/config.yaml").read_text())
    assert config["settings"]["epochs"] == 1
    assert config["task"]["imitation"]["epochs"] == 4
    losses = [both(run)[0]["metrics"][0]["loss_train"] for run in (folder, whole)]
    assert losses[0] > losses[1]
    assert main(command(folder, "--resume")) == 2
    assert "settings.epochs must be 4" in capsys.readouterr().err
    assert main(command(folder, "--resume", "--imitation_epochs=1")) == 0


def test_limits_stop_a_run_and_higher_ones_continue_it(folder: Path, whole: Path) -> None:
    first = both(whole)[1]["metrics"][0]
    flags = (f"--max_steps={first['steps_total']}", f"--stop_at_reward={first['reward_mean'] + 1e6}")
    assert main(command(folder, *flags)) == 0
    assert both(folder)[1]["summary"]["iterations"] == 1
    assert main(command(folder, "--resume", f"--stop_at_reward={first['reward_mean']}")) == 0
    assert "the reward is at least" in both(folder)[1]["summary"]["stopped"]
    assert main(command(folder, "--resume")) == 0
    assert both(folder) == both(whole)


def test_an_interruption_says_how_to_continue(
    folder: Path, whole: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    for name in ("mbmf.algorithms.cloning.Examples.and_then", "mbmf.algorithms.policy_iteration.trpo_step"):
        with monkeypatch.context() as patch:
            patch.setattr(name, interrupt)
            resume = ["--resume"] if (folder / "runs/run_1/imitation/config.yaml").exists() else []
            assert main(command(folder, *resume)) == 130
        flags = f"--which_agent={folder / 'small.yaml'} --run_num=1 --runs_dir={folder / 'runs'} --resume"
        assert f"Interrupted. To continue:\n  mbmf mbmf {flags}" in capsys.readouterr().err
    assert main(command(folder, "--resume")) == 0
    assert both(folder) == both(whole)


def test_an_interruption_before_fine_tuning_is_replaced(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there is of the policy that was replaced: the printed command makes another one beside it."""

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    run = folder / "runs/run_1"
    flags = ("--num_trpo_iters=1",)
    assert main(command(folder, *flags)) == 0
    before = snapshot(run / MBMF)
    with monkeypatch.context() as patch:
        patch.setattr("mbmf.algorithms.cloning.Examples.and_then", interrupt)
        assert main(command(folder, *flags, "--overwrite", "--imitation_epochs=2")) == 130
    assert " --save_trpo_run_num=2 --imitation_epochs=2 " in capsys.readouterr().err
    flags = (*flags, "--resume", "--imitation_epochs=2")
    assert main(command(folder, *flags)) == 2
    assert (
        f"{MBMF}: fine-tuning must be of the policy of {run / 'imitation'}, which" in capsys.readouterr().err
    )
    assert Run(run / "imitation").summary() is None
    assert main(command(folder, *flags, "--save_trpo_run_num=2")) == 0
    assert snapshot(run / MBMF) == before
    assert main(command(folder, *flags)) == 2
    assert "--save_trpo_run_num=N with another number makes one beside it" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_numbers(folder: Path, whole: Path) -> None:
    """`kill -9` during imitation and during fine-tuning, resumed each time."""
    moments = random.Random(1)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["tyro", "torch.utils.tensorboard", "mbmf.cli.mbmf", "mbmf.algorithms.imitation_learner"]
    )
    run = folder / "runs/run_1"
    for file in ("imitation/config.yaml", "imitation/policy/checkpoint.safetensors", f"{MBMF}/config.yaml"):
        resume = ["--resume"] if (run / "imitation/config.yaml").exists() else []
        process = context.Process(target=main, args=(command(folder, *resume),))
        process.start()
        while not (run / file).exists() and process.is_alive():
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.01))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert main(command(folder, "--resume")) == 0
    assert both(folder) == both(whole)


@pytest.mark.usefixtures("no_display")
def test_what_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, mbmf.Episodes] = {}

    def show(task: mbmf.Task, episodes: mbmf.Episodes, index: int, path: Path, note: Any) -> None:
        assert index == 0
        shown[str(path.relative_to(folder / "runs/run_1"))] = episodes

    monkeypatch.setattr("mbmf.show.viewer.show_episode", show)
    flags = ("--might_render", "--visualize_on_policy_rollouts", "--max_steps=1")
    assert main(command(folder, *flags)) == 0
    text = capsys.readouterr().out
    assert "there is no display: what is visualised will be videos in" in text or "render" in text
    assert list(shown) == ["imitation/videos/iteration_1.mp4", "imitation/videos/iteration_2.mp4"]
    labelled = mbmf.Episodes.load(folder / "runs/run_1/imitation/rollouts/iteration_2.npz")
    np.testing.assert_array_equal(shown["imitation/videos/iteration_2.mp4"].states, labelled.states)
    # of a policy that is there already, too
    flags = ("--use_existing_pretrained_policy", "--visualize_mlp_policy", "--resume", "--max_steps=1")
    assert main(command(folder, *flags)) == 0
    assert list(shown)[2:] == ["imitation/videos/policy.mp4"]
    assert shown["imitation/videos/policy.mp4"].lengths.tolist() == [30]


# --- bad input


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed=-1"], "--seed must be at least 0, got -1"),
        (["--run_num=-1"], "--run_num must be at least 0, got -1"),
        (["--nthread=-1"], "--nthread must be at least 0, got -1"),
        (["--num_workers_trpo=-1"], "--num_workers_trpo must be at least 0, got -1"),
        (["--max_steps=0"], "--max_steps must be at least 1, got 0"),
        (["--stop_at_reward=nan"], "--stop_at_reward must be a number, got nan"),
        (["--std_on_mlp_policy=0"], "--std_on_mlp_policy must be above 0 and at most 1e+06, got 0"),
        (
            ["--gae_lambda=-1"],
            "fine_tune.gae_lambda must be a finite number at least 0 and at most 1, got -1",
        ),
        (["--imitation_epochs=0"], "imitation.epochs must be an integer from 1 to"),
        (
            ["--imitation_epochs=2", "--use_existing_pretrained_policy"],
            "--imitation_epochs must not be given together with --use_existing_pretrained_policy",
        ),
        (["--num_trpo_iters=0"], "fine_tune.iterations must be an integer from 1 to 1000000, got 0"),
        (
            ["--batch_size=29"],
            "fine_tune.batch_size must be at least one episode, steps_per_rollout = 30, got 29",
        ),
        (["--resume", "--overwrite"], "--overwrite must not be given together with --resume"),
        (["--set", "model_based.horizon=3"], "--set must be without model_based: the controller that is"),
        (["--set", "planner={search: cem}"], "--set must be without planner: the controller that is"),
        (
            ["--use_existing_pretrained_policy", "--set", "imitation.epochs=3"],
            "--set must be without imitation: the policy of --use_existing_pretrained_policy is trained",
        ),
        (["--set", "recipe=best"], "--set must be without recipe: --recipe is for that, got 'recipe=best'"),
        (["--which_agent=3"], "--which_agent must be an agent's number or name (1 ant, 2 swimmer, 4 half_ch"),
        (["--run_num=2"], "run_2/config.yaml: run must exist, got none"),
        (["--which_agent=swimmer"], "task.name must be 'swimmer_forward', as of task swimmer_forward, got"),
        (["--use_existing_pretrained_policy"], "imitation/config.yaml: run must exist, got none"),
    ],
)
def test_bad_input(flags: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, *flags)) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "runs/run_1/imitation").exists()


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes a YAML or JSON file."""
    contents = yaml.safe_load(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))


def truncate(path: Path) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2])


def none_saved(**summary: int) -> Callable[[Path], None]:
    return lambda run: edit(run / "summary.json", lambda s: s.update({"rollouts_saved": 0, **summary}))


OTHER_ROBOT = {"source": "qpos", "joints": ["rootz"], "transform": "cos"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda run: (run / "summary.json").unlink(),
            "the model-based stage must be finished, got 2 of 2 iterations and no summary: go on with it by",
        ),
        (
            lambda run: edit(run / "config.yaml", lambda c: c.update(algorithm="model_free")),
            "run must be one of mbmf mb, got one of model_free",
        ),
        (
            lambda run: edit(run / "config.yaml", lambda c: c["task"].update(physics_steps=2)),
            "config.yaml: task.physics_steps must be 1, as of task small, got 2",
        ),
        (
            lambda run: edit(run / "config.yaml", lambda c: c["task"]["state"].__setitem__(1, OTHER_ROBOT)),
            "config.yaml: task.state[1].source must be 'qvel', as of task small, got 'qpos'",
        ),
        (
            lambda run: edit(run / "config.yaml", lambda c: c["task"].pop("model_based")),
            "config.yaml: task.model_based and task.planner must be a run's",
        ),
        (
            none_saved(rollouts_wanted=4, attempts=40, diverged=3),
            "saved rollouts must be at least one to imitate, got none: of 40 rollouts 37 had a return not "
            "above model_based.min_return = -1000 and 3 diverged",
        ),
        (
            none_saved(rollouts_wanted=0, attempts=0),
            "got none: none was asked for (mbmf mb --num_rollouts_save_for_mf, or model_based.rollouts_to",
        ),
        (lambda run: (run / "rollouts/saved.npz").unlink(), "saved.npz: saved rollouts must exist, got none"),
        (
            lambda run: truncate(run / "rollouts/saved.npz"),
            "saved.npz: must be a whole file of Episodes.save, got a damaged or other one",
        ),
        (
            lambda run: mbmf.collect_random(mbmf.load_task("ant_forward"), 1, 2).save(
                run / "rollouts/saved.npz"
            ),
            "saved.npz: task must be small, got ant_forward",
        ),
        (
            lambda run: shutil.rmtree(run / "models"),
            "models: a dynamics model must exist, got none",
        ),
        (
            lambda run: (run / "models/iteration_2.safetensors").unlink(),
            "iteration_2.safetensors: file must be there, the run has written it, got none",
        ),
        (
            lambda run: ((run / "models/iteration_2.safetensors").unlink(), (run / "files.json").unlink()),
            "files.json: list of files must be there, the run has written it, got none: put it back",
        ),
        (
            lambda run: shutil.copy(
                run / "models/iteration_1.safetensors", run / "models/iteration_2.safetensors"
            ),
            "iteration_2.safetensors: file must be as the run wrote it (SHA-256 ",
        ),
        (
            lambda run: truncate(run / "models/iteration_2.safetensors"),
            "iteration_2.safetensors: ",
        ),
    ],
)
def test_runs_that_do_not_fit(
    damage: Callable[[Path], Any], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / "runs/run_1")
    assert main(command(folder, "--run_num=1")) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "runs/run_1/imitation").exists()


def test_imitation_is_not_replaced_before_fine_tuning_can_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "runs/run_1"
    assert main(command(folder, "--num_trpo_iters=1")) == 0
    (run / "mbmf_std0.4_1").mkdir()
    (run / "mbmf_std0.4_1/notes.txt").write_text("mine")
    before = snapshot(run / "imitation")
    flags = ("--num_trpo_iters=1", "--overwrite")
    assert main(command(folder, *flags, "--std_on_mlp_policy=0.4")) == 2
    assert "mbmf_std0.4_1: run directory must be new or a run of mbmf, got so" in capsys.readouterr().err
    assert snapshot(run / "imitation") == before
    assert main(command(folder, *flags, "--std_on_mlp_policy=0.3")) == 0
    error = capsys.readouterr().err
    assert "note: mbmf_std0.5_1: went on from the policy that is replaced now" in error


def test_policies_that_do_not_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, "--max_steps=1")) == 0
    assert "note: nothing will be fine-tuned: --max_steps=1 counts all" in capsys.readouterr().err
    file = folder / "runs/run_1/imitation/policy/policy.safetensors"
    contents = file.read_bytes()
    small = mbmf.load_task(folder / "small.yaml")
    others = {
        "hidden must be [8, 8], as model_free.hidden, got [8, 9]": mbmf.GaussianPolicy(small, (8, 9)),
        "task must be 'small', as of task small, got 'ant_forward'": mbmf.GaussianPolicy(
            mbmf.load_task("ant_forward"), (8, 8)
        ),
    }
    for message, policy in others.items():
        policy.save(file)
        assert main(command(folder, "--use_existing_pretrained_policy", "--overwrite")) == 2
        assert f"policy.safetensors: {message}" in capsys.readouterr().err
    for damaged in (contents[:-8], b"", b"PK\x03\x04 not safetensors"):
        file.write_bytes(damaged)
        assert main(command(folder, "--use_existing_pretrained_policy", "--overwrite")) == 2
        message = "policy.safetensors: policy file must be a whole safetensors file, got"
        assert message in capsys.readouterr().err
    # the run that is there is left alone
    summary = json.loads((folder / "runs/run_1" / MBMF / "summary.json").read_text())
    assert summary["stopped"] == f"{summary['steps_total']} steps were taken, max_steps is 1"
    # a policy that would do, but is not the one that imitation learned
    mbmf.GaussianPolicy(small, (8, 8), seed=5).save(file)
    assert main(command(folder, "--use_existing_pretrained_policy", "--resume")) == 2
    assert "policy.safetensors: file must be as the run wrote it (SHA-256 " in capsys.readouterr().err
    # and a run whose start is another policy is not continued with this one
    files = folder / "runs/run_1/imitation/files.json"
    listed = files.read_text()
    old, new = (hashlib.sha256(data).hexdigest() for data in (contents, file.read_bytes()))
    assert old in listed
    files.write_text(listed.replace(old, new))
    assert main(command(folder, "--use_existing_pretrained_policy", "--resume")) == 2
    assert "imitation_policy must be" in capsys.readouterr().err
    files.write_text(listed)
    file.write_bytes(contents)
    assert main(command(folder, "--use_existing_pretrained_policy", "--resume")) == 0


def test_a_run_is_not_changed_while_it_is_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mb = ["mb", f"--yaml_file={folder / 'small.yaml'}", "--run_num=1", f"--runs_dir={folder / 'runs'}"]
    with Run.read(folder / "runs/run_1"), Run.read(folder / "runs/run_1"):
        assert main([*mb, "--seed=4", "--overwrite"]) == 2
        assert "run must not be in use" in capsys.readouterr().err
    with Run.create(folder / "runs/run_2", {}), pytest.raises(DataError, match="run must not be in use"):
        Run.read(folder / "runs/run_2")
    # what a run's replacement was made of goes with it
    assert main(command(folder, "--max_steps=1")) == 0
    assert "note: nothing will be fine-tuned: --max_steps=1 counts all" in capsys.readouterr().err
    assert main([*mb, "--seed=4", "--overwrite", "--print_minimal"]) == 0
    assert not (folder / "runs/run_1/imitation").exists()
    assert not (folder / "runs/run_1" / MBMF).exists()


def test_only_what_an_algorithm_uses_must_stay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run was made when the task had no sections for imitation and TRPO: it goes on all the same."""
    runs = f"--runs_dir={folder / 'runs'}"
    (folder / "runs/run_1/summary.json").unlink()
    mb = ["mb", f"--yaml_file={folder / 'small.yaml'}", "--run_num=1", "--seed=4", "--resume", runs]
    assert main([*mb, "--print_minimal"]) == 0
    mf = ["mf", f"--which_agent={folder / 'small.yaml'}", "--num_trpo_iters=1", "--print_minimal", runs]
    assert main(mf) == 0
    changed = task_config(model_based={**MODEL_BASED, "horizon": 5}, imitation=None)
    (folder / "small.yaml").write_text(yaml.safe_dump(changed))
    assert main([*mf, "--resume"]) == 0
    capsys.readouterr()
    assert main(mb) == 2
    assert "task.model_based.horizon must be 5 to resume the run" in capsys.readouterr().err
    (folder / "small.yaml").write_text(yaml.safe_dump(task_config(episode_steps=999)))
    for args in ([*mf, "--resume"], mb):
        assert main(args) == 2
        assert "task.episode_steps must be 999 to resume the run" in capsys.readouterr().err


def test_the_run_says_how_mpc_drove(folder: Path) -> None:
    """The planner that labels is the run's, whatever the task file says by now."""
    changed = task_config(model_based={**MODEL_BASED, "horizon": 5, "candidates": 3})
    with Run.read(folder / "runs/run_1") as run:
        source = ModelBasedResult.load(run, mbmf.load_task(changed))
    assert (source.settings.horizon, source.settings.candidates) == (4, 20)
    assert (source.seed, len(source.rollouts)) == (4, 4)
