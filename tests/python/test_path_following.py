"""Following paths: rollouts, the planner's own count of segments, records, figures, and `mbmf mb`."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf import _core
from mbmf.cli.main import main
from mbmf.errors import ConfigError, DataError
from mbmf.rollouts import tracking
from mbmf.rollouts.path_record import PathRecord
from path_oracle import ROBOTS, project
from test_planner import make_model

SHORT = [[0, 0], [0.02, 0], [0.04, 0.01], [0.05, 0.03], [0.05, 0.05]]


def short_task(agent: str = "cheetah", **settings: Any) -> mbmf.Task:
    """A task whose path is done within some steps of a model that is not trained."""
    return mbmf.load_task(f"{agent}_trajfollow", path=SHORT, **settings)


def planner_of(task: mbmf.Task, candidates: int = 40, **settings: Any) -> mbmf.RandomShooting:
    return mbmf.RandomShooting(
        task, make_model(task, scale=0.05)[0], horizon=4, candidates=candidates, seed=2, **settings
    )


@pytest.mark.parametrize("rule", ["predicted", "reached"])
@pytest.mark.parametrize("agent", ["swimmer", "ant"])
def test_episodes_are_plans_and_steps(agent: str, rule: Any) -> None:
    """The same as planning and stepping one episode at a time, with the rule written out."""
    task = short_task(agent, segment_rule=rule)
    planner, robot = planner_of(task), ROBOTS[agent]
    episodes = mbmf.collect_mpc(task, planner, 3, 40, seed=4, first_episode=5)
    assert episodes.path is not None
    assert task.path is not None
    assert task.path.last_segment == 3
    ended = 0
    for e in range(3):
        simulator = _core.Simulator(task.core, 1, 1, 4)
        simulator.start(None, _core.ResetKind.CONTROL, np.array([5 + e], np.uint64))
        state = simulator.states[0].copy()
        origin = state[[robot.x, robot.y]]
        np.testing.assert_array_equal(episodes.path.origins[e], origin)
        points, segment, length = np.array(SHORT) + origin, 0, 0
        for t in range(40):
            np.testing.assert_array_equal(episodes.states[e, t], state)
            assert episodes.path.segments[e, t] == segment
            plan = planner.plan(state, episode=5 + e, step=t, segment=segment, origin=origin)
            if rule == "predicted":
                segment += plan.moved
            else:
                place = state[None, [robot.x, robot.y]]
                while segment < 4:
                    (d,), (f,) = project(points, np.array([segment]), place)
                    (next_d,), _ = project(points, np.array([segment + 1]), place)
                    if not (f >= 1 or next_d < d - 1e-3):
                        break
                    segment += 1
            assert plan.segment == segment
            np.testing.assert_array_equal(episodes.actions[e, t], plan.action)
            simulator.step(None, plan.action.astype(np.float64)[None])
            state, length = simulator.states[0].copy(), t + 1
            if segment > 3 or simulator.terminated[0]:
                break
        assert episodes.lengths[e] == length
        assert episodes.path.segments[e, length] == segment
        assert not episodes.path.segments[e, length + 1 :].any()
        ended += segment > 3
    assert ended or rule == "reached"


@pytest.mark.filterwarnings("ignore:nthread should be at most")
def test_episodes_are_the_same_at_any_number_of_threads() -> None:
    task = short_task("swimmer")
    first, *others = (
        mbmf.collect_mpc(task, planner_of(task, nthread=n), 2, 30, action_noise=0.01) for n in (1, 2, 3, 7)
    )
    assert first.path is not None
    assert first.path.segments.any()
    for other in others:
        assert other.path is not None
        np.testing.assert_array_equal(other.states, first.states)
        np.testing.assert_array_equal(other.path.segments, first.path.segments)


def test_absolute_paths_have_no_origin() -> None:
    with pytest.warns(UserWarning, match="no factors of its own"):
        task = mbmf.load_task("ant_trajfollow", path="circle")
    episodes = mbmf.collect_mpc(task, planner_of(task), 2, 3)
    assert episodes.path is not None
    np.testing.assert_array_equal(episodes.path.origins, np.zeros((2, 2)))
    assert episodes.path.name == "circle"


def test_act_keeps_the_segment_and_where_it_began() -> None:
    task = short_task("swimmer")
    planner = planner_of(task)
    episodes = mbmf.collect_mpc(task, planner, 1, 30, first_episode=7)
    assert episodes.path is not None
    planner.reset(episode=7)
    segments = []
    for t in range(int(episodes.lengths[0])):
        segments.append(planner.segment)
        np.testing.assert_array_equal(planner.act(episodes.states[0, t]), episodes.actions[0, t])
    np.testing.assert_array_equal(segments, episodes.path.segments[0, : len(segments)])
    assert segments[-1] > 0
    planner.reset()
    assert planner.segment == 0


def test_a_state_that_is_refused_begins_no_path() -> None:
    task = short_task("swimmer")
    planner, other = planner_of(task), planner_of(task)
    state = mbmf.collect_mpc(task, planner, 1, 1).states[0, 0].astype(np.float64)
    assert task.path is not None
    assert task.path.relative
    x, y = task.path_indices or (0, 0)
    for place, value in ((x, np.nan), (-1, np.inf)):
        glitch = state.copy()
        glitch[[x, y]] += 3
        glitch[place] = value
        with pytest.raises(ValueError, match="state must be finite"):
            planner.act(glitch)
    expected = other.plan(state, 0, 0, origin=state[[x, y]], predict=False)
    np.testing.assert_array_equal(planner.act(state), expected.action)
    assert not np.array_equal(expected.actions, other.plan(state, 0, 0, predict=False).actions)


def test_one_model_switches_paths_while_it_runs() -> None:
    task = mbmf.load_task("swimmer_trajfollow")
    planner = mbmf.RandomShooting(task, make_model(task, scale=0.05)[0], horizon=5, candidates=200, seed=2)
    left = mbmf.RandomShooting(task, planner._dynamics, 5, 200, seed=2, path="left_turn")  # type: ignore[arg-type]
    assert left.task.path is not None
    assert left.task.path.name == "left_turn"
    state = np.array(mbmf.Simulator(task, nsim=1, seed=1).states[0])
    place = state[[10, 11]]
    straight = planner.plan(state, step=3, origin=place)
    for path in ("left_turn", left.task):
        planner.set_path(path)
        assert planner.task == left.task
        switched = planner.plan(state, step=3, origin=place)
        assert switched.cost == left.plan(state, step=3, origin=place).cost != straight.cost
        planner.set_path("straight")
        assert planner.plan(state, step=3, origin=place).cost == straight.cost

    # the new path begins where the robot is when it is next asked
    planner.act(state)
    planner.set_path("left_turn")
    moved, away = state.copy(), np.array([0.7, -0.4])
    moved[[10, 11]] += away
    planner.reset()
    action = planner.act(moved)
    want = left.plan(moved, episode=0, step=0, origin=place + away)
    np.testing.assert_array_equal(action, want.action)
    assert planner.segment == want.segment

    with pytest.raises(ConfigError, match="path must be a known path"):
        planner.set_path("zigzag")
    with pytest.raises(ValueError, match="path must be one of task swimmer_trajfollow, got one of"):
        planner.set_path(mbmf.load_task("ant_trajfollow"))
    hopper = mbmf.load_task("hopper_forward")
    with pytest.raises(ConfigError, match="does not say its x and y"):
        mbmf.RandomShooting(hopper, make_model(hopper)[0], path="left_turn")


def test_limits_know_the_path() -> None:
    task = short_task()
    planner = planner_of(task, candidates=300)
    state = np.array(mbmf.Simulator(task, nsim=1, seed=1).states[0])
    origin = state[[18, 20]] - SHORT[2]
    few = planner.plan(state, step=1, episode=0, segment=1, origin=origin, candidates=100)
    all_costs = planner.core.costs(state, 0, 1, 1, list(origin))
    assert few.cost == all_costs[:100].min()
    timed = planner.plan(state, step=1, episode=0, segment=1, origin=origin, deadline=60.0)
    whole = planner.plan(state, step=1, episode=0, segment=1, origin=origin)
    assert (timed.cost, timed.moved, timed.segment) == (whole.cost, whole.moved, whole.segment)
    assert whole.cost == all_costs.min()
    actions, costs = planner.plan_batch(state[None], steps=[1], segments=[1], origins=[origin])
    assert costs[0] == whole.cost
    np.testing.assert_array_equal(actions[0], whole.action)
    for arguments, message in (
        ({"segments": [-1]}, "segments must be"),
        ({"origins": [[0, np.nan]]}, "origin must be finite"),
        ({"origins": [0, 0]}, "origins must be of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            planner.plan_batch(state[None], steps=[1], **arguments)  # type: ignore[arg-type]


def test_records_are_kept_in_files(tmp_path: Path) -> None:
    task = short_task()
    episodes = mbmf.collect_mpc(task, planner_of(task), 3, 10)
    episodes.save(tmp_path / "a.npz")
    loaded = mbmf.Episodes.load(tmp_path / "a.npz", task=task)
    assert loaded.path is not None
    assert episodes.path is not None
    for field in dataclasses.fields(PathRecord):
        np.testing.assert_array_equal(getattr(loaded.path, field.name), getattr(episodes.path, field.name))
    np.testing.assert_allclose(loaded.path.points(1), np.array(SHORT) + loaded.states[1, 0, [18, 20]])

    # parts, and batches together
    part = loaded.select([2, 0])
    assert part.path is not None
    np.testing.assert_array_equal(part.path.segments, loaded.path.segments[[2, 0]])
    more = mbmf.collect_mpc(task, planner_of(task), 1, 14, first_episode=9)
    joined = mbmf.Episodes.concatenate([loaded, more])
    assert joined.path is not None
    assert joined.path.segments.shape == (4, 15)
    random = mbmf.collect_random(task, 2, 5)
    assert random.path is None
    assert mbmf.Episodes.concatenate([random, loaded]).path is None

    # a file without a path, as all were before, and damaged ones
    random.save(tmp_path / "b.npz")
    assert mbmf.Episodes.load(tmp_path / "b.npz").path is None
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    for change, message in (
        ({"path_segments": arrays["path_segments"][:, 1:]}, "path.segments must be of shape"),
        ({"path_segments": arrays["path_segments"] - 1}, "path.segments must not be negative"),
        ({"path_origins": arrays["path_origins"][:1]}, "path.origins must be of shape"),
        ({"path_waypoints": arrays["path_waypoints"] * np.nan}, "path.waypoints must be finite"),
        ({"path_waypoints": arrays["path_waypoints"][:1]}, "path.waypoints must be two or more"),
        ({"path_origins": None}, "must hold path_origins too"),
    ):
        whole = {key: value for key, value in {**arrays, **change}.items() if value is not None}
        np.savez(tmp_path / "c.npz", **whole)
        with pytest.raises(DataError, match=message):
            mbmf.Episodes.load(tmp_path / "c.npz")


def test_figures_by_hand() -> None:
    waypoints = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])
    places = np.array([[0, 0], [1, 0.5], [2.25, 1], [2, 1.5]])
    got = tracking.track_one(waypoints, places, np.array([0, 0, 1, 1]), 1, 0.5)
    assert got.distance_mean == pytest.approx((0.5 + 0.25) / 4)
    assert got.distance_max == 0.5
    assert got.progress == pytest.approx(3.5)
    assert got.progress_share == pytest.approx(3.5 / 4)
    assert (got.final_segment, got.steps_to_end, got.steps, got.seconds) == (1, None, 3, 1.5)
    assert not got.completed
    errors = [np.arctan2(0.5, 1), np.arctan2(0.5, 1.25), np.pi / 2 - np.arctan2(0.5, -0.25)]
    assert got.heading_error == pytest.approx(np.mean(np.abs(errors)))
    assert (got.heading_of, got.end, got.low, got.high) == ("velocity", (2, 1.5), (0, 0), (2.25, 1.5))

    # past the last segment that counts; a heading of the robot's, several turns round
    heading = np.array([0.1, -0.1, np.pi / 2 + 4 * np.pi, np.pi + 0.2])
    got = tracking.track_one(waypoints, places, np.array([0, 0, 2, 7]), 1, 0.5, heading)
    assert got.steps_to_end == 2
    assert got.completed
    assert got.heading_error == pytest.approx((0.1 + 0.1 + np.pi / 2 + 0.2) / 4)
    assert got.progress == 4  # its projection on the last segment is before its start
    assert np.isnan(tracking.track_one(waypoints, places[:1], np.array([0]), 1, 0.5).heading_error)
    with pytest.raises(DataError, match="episodes must be ones that followed a path, got none"):
        tracking.track(short_task(), mbmf.collect_random(short_task(), 1, 2))


def write_task(folder: Path) -> Path:
    config = yaml.safe_load(mbmf.load_task("cheetah_trajfollow").to_yaml())
    config["name"] = "small"
    config["model_based"] |= {
        "random_train": {"episodes": 3, "steps": 60},
        "random_validation": {"episodes": 1, "steps": 110},
        **{"hidden": [12], "epochs": 2, "horizon": 3, "candidates": 15, "steps_per_rollout": 12},
        "rollouts_per_iteration": 2,
    }
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def files_of(run: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in run.rglob("*")
        if path.is_file() and path.suffix in (".npz", ".safetensors", ".jsonl", ".json", ".yaml")
    }


@pytest.mark.slow
def test_one_trained_model_serves_every_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["mb", f"--yaml_file={write_task(tmp_path)}", f"--runs_dir={tmp_path}/runs", "--print_minimal"]
    reuse = ["--use_existing_training_data", "--use_existing_dynamics_model"]
    run = tmp_path / "runs" / "run_0"
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "path straight" in out
    assert "control steps until past segment 5" in out
    first = files_of(run)
    (record,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rollouts = mbmf.Episodes.load(run / "rollouts" / "iteration_1.npz")
    task = mbmf.load_task(tmp_path / "small.yaml")
    figures = [dataclasses.asdict(each) for each in tracking.track(task, rollouts)]
    assert record["tracking"]["rollouts"] == json.loads(json.dumps(figures))
    assert record["tracking"]["distance_mean"] == np.mean([each["distance_mean"] for each in figures])

    # another path wants to be told to take the model
    assert main([*command, "--run_num=0", "--desired_traj_type=backward"]) == 2
    assert "to follow another path with its model, got a run on the path straight" in capsys.readouterr().err
    (tmp_path / "mine.csv").write_text("x,y\n0,0\n1,0\n0,0\n")
    labels = {
        "backward": ["--desired_traj_type=backward"],
        "forward_backward_reached": ["--desired_traj_type=Forward-Backward", "--strict_segments"],
        "mine": [f"--desired_traj_type={tmp_path}/mine.csv"],
        "u_turn": ["--desired_traj_type=u_turn"],
    }
    for label, flags in labels.items():
        assert main([*command, *flags, *reuse]) == 0
        captured = capsys.readouterr()
        assert ("no factors of its own" in captured.out) == (label == "u_turn")
        other = run / "paths" / label
        assert {"config.yaml", "metrics.jsonl", "summary.json", "rollouts"} <= {
            p.name for p in other.iterdir()
        }
        assert not list((other / "models").iterdir())
        (line,) = [json.loads(text) for text in (other / "metrics.jsonl").read_text().splitlines()]
        assert line["tracking"]["path"] == label.removesuffix("_reached")
        assert line["validation_error"] == record["validation_error"]  # of the same model
    # nothing that was there has changed
    now = files_of(run)
    assert {name: now[name] for name in first} == first

    # and again: replaced, to the same numbers; the trained path itself too
    again = run / "paths" / "mine" / "rollouts" / "iteration_1.npz"
    assert main([*command, *labels["mine"], *reuse]) == 0
    assert again.read_bytes() == now["paths/mine/rollouts/iteration_1.npz"]
    assert main([*command, *labels["mine"], *reuse, "--resume"]) == 0
    assert "finished already" in capsys.readouterr().out
    assert main([*command, "--desired_traj_type=straight", *reuse]) == 0
    final = files_of(run)
    assert final["rollouts/iteration_1.npz"] == first["rollouts/iteration_1.npz"]
    assert final["paths/mine/rollouts/iteration_1.npz"] == now["paths/mine/rollouts/iteration_1.npz"]
    # a path whose model is another one by now is begun anew, not gone on with
    file = run / "paths/mine/config.yaml"
    assert "driven_by: iteration_1 (" in file.read_text()
    file.write_text(file.read_text().replace("driven_by: iteration_1 (", "driven_by: iteration_1 (0"))
    assert main([*command, *labels["mine"], *reuse, "--resume"]) == 2
    assert "model must be the one that the path was begun with" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert not (run / "paths").exists()


@pytest.mark.slow
def test_a_path_follows_with_the_model_of_a_run_forward(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It had a value and a policy that proposed, which know nothing of paths, and other rewards."""
    file = write_task(tmp_path)
    config = yaml.safe_load(file.read_text())
    forward = config | {"name": "forward", "cost": [{"term": "linear", "state": "subtree_linvel.torso.x"}]}
    del forward["path"]
    forward["value"] = {"first_iteration": 2, "rounds": 2}
    forward["policy"] = {"first_iteration": 2, "epochs": 2}
    forward["planner"] = {"search": "icem", "horizon": 4, "candidates": 20, "elites": 4}
    forward["model_based"] = config["model_based"] | {"iterations": 2, "rollouts_to_save": 0}
    (tmp_path / "forward.yaml").write_text(yaml.safe_dump(forward))
    runs = [f"--runs_dir={tmp_path}/runs", "--run_num=0", "--print_minimal", "--nthread=1"]
    assert main(["mb", f"--yaml_file={tmp_path}/forward.yaml", *runs]) == 0
    run = tmp_path / "runs" / "run_0"
    assert (run / "models" / "value_2.safetensors").exists()
    assert (run / "models" / "policy_2.safetensors").exists()
    before = files_of(run)
    capsys.readouterr()
    reuse = ["--use_existing_training_data", "--use_existing_dynamics_model"]
    command = ["mb", f"--yaml_file={file}", *runs, *reuse, "--desired_traj_type=backward"]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert "task must be small, got forward" in message
    assert "--allow_other_task" in message
    assert files_of(run) == before
    assert main([*command, "--allow_other_task"]) == 0
    assert "path backward" in capsys.readouterr().out
    other = run / "paths" / "backward"
    (line,) = [json.loads(text) for text in (other / "metrics.jsonl").read_text().splitlines()]
    assert line["tracking"]["path"] == "backward"
    assert "value_explained" not in line
    now = files_of(run)
    assert {name: now[name] for name in before} == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--yaml_file=swimmer_trajfollow", "--desired_traj_type=zigzag"],
            "path must be a known path (straight",
        ),
        (["--yaml_file=hopper_forward", "--desired_traj_type=straight"], "does not say its x and y"),
        (["--yaml_file=hopper_forward", "--strict_segments"], "does not say its x and y"),
        (["--yaml_file=hopper_trajfollow"], "task name must be a preset ("),
        (
            ["--yaml_file=ant_trajfollow", "--desired_traj_type=no.csv"],
            "path must be a file that can be read",
        ),
        (
            ["--yaml_file=swimmer_trajfollow", "--use_existing_dynamics_model"],
            "config.yaml: run must exist, got none",
        ),
    ],
)
def test_the_command_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["mb", f"--runs_dir={tmp_path}/runs", *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_another_path_of_the_same_name_replaces_nothing(
    path_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(path_runs, tmp_path / "runs")
    (tmp_path / "zigzag.csv").write_text("x,y\n0,0\n0.1,0.1\n0.2,0\n0.3,0.1\n")
    folder = tmp_path / "runs/run_4/paths/zigzag"
    before = (folder / "config.yaml").read_bytes(), (folder / "files.json").read_bytes()
    command = ["mb", f"--yaml_file={path_runs / 'swimmer.yaml'}", "--run_num=4"]
    command += [f"--runs_dir={tmp_path / 'runs'}", f"--desired_traj_type={tmp_path / 'zigzag.csv'}"]
    assert main([*command, "--use_existing_training_data", "--use_existing_dynamics_model"]) == 2
    assert "those of another one with the name zigzag: give its file another" in capsys.readouterr().err
    assert before == ((folder / "config.yaml").read_bytes(), (folder / "files.json").read_bytes())
