"""What videos draw beside the robot, and ``mbmf video``."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest

import mbmf
from mbmf.cli import main as cli
from mbmf.runs.run import Run
from mbmf.show import overlays
from mbmf.show.overlays import Plans, best_candidates, centres_of_mass
from mbmf.simulation.renderer import Line, Renderer, RenderError

BALL = "<mujoco><worldbody><light pos='0 0 3'/><geom size='.1'/></worldbody></mujoco>"


@pytest.fixture(scope="module")
def controller(small_runs: Path) -> Any:
    """The small run's task, model and planner."""
    run = Run(small_runs / "run_1")
    task = mbmf.load_task(run.config()["task"])
    model = mbmf.DynamicsModel.load(run.model(2), task)
    planner = mbmf.RandomShooting(task, model, horizon=4, candidates=50, seed=5, nthread=2)
    return task, model, planner, mbmf.Episodes.load(run.rollouts(2), task)


def test_the_best_candidates_are_those_of_the_plan(controller: Any) -> None:
    task, model, planner, episodes = controller
    state = episodes.states[0, 7]
    states = best_candidates(planner, model, state, 50, episode=3, step=7)
    assert states.shape == (50, 5, task.nstate)
    plan = planner.plan(state, episode=3, step=7)
    np.testing.assert_allclose(states[0], plan.states, rtol=1e-6, atol=1e-6)
    # dearer from one to the next, by the cost of the candidates' own actions
    actions = planner.core.sample(3, 7, 0, 50)
    predicted = model.core.open_loop(np.repeat(state[None].astype(np.float32), 50, axis=0), actions)
    costs = task.cost(predicted, actions)
    assert len(np.unique(costs)) > 40
    np.testing.assert_array_equal(states, predicted[np.argsort(costs, kind="stable")])
    other = best_candidates(planner, model, state, 1, episode=4, step=7)
    assert not np.array_equal(other[0], states[0])


def test_lines_go_through_the_planned_centres_of_mass(controller: Any) -> None:
    task, model, planner, episodes = controller
    *others, best = Plans(planner, model, episodes, 1, count=3)(6)
    assert len(others) == 2
    plan = planner.plan(episodes.states[1, 6], episode=0, step=6)
    assert best.points.shape == (5, 3)
    # the first point is where the robot is: its state says so, and MuJoCo of its pose
    np.testing.assert_allclose(best.points[0], episodes.states[1, 6, 10:13], atol=1e-6)
    data = mujoco.MjData(task.model)
    data.qpos[:] = plan.states[4, :5]
    mujoco.mj_forward(task.model, data)
    np.testing.assert_allclose(best.points[4], data.subtree_com[1], atol=1e-6)


def test_a_plan_that_leaves_for_infinity_is_drawn_as_far_as_it_is_finite(controller: Any) -> None:
    task, _, _, episodes = controller
    states = np.repeat(episodes.states[:1, :4], 2, axis=0)
    states[1, 2] = np.nan
    lines = centres_of_mass(task, states, mujoco.MjData(task.model))
    assert [line.shape for line in lines] == [(4, 3), (2, 3)]


def test_the_path_is_on_the_ground_and_its_segment_is_marked(path_runs: Path) -> None:
    run = Run(path_runs / "run_4/paths/zigzag")
    task = mbmf.load_task(run.config()["task"])
    episodes = mbmf.Episodes.load(run.rollouts(1), task)
    assert episodes.path is not None
    overlay = overlays.Path(task, episodes, 1)
    whole, segment = overlay(0)
    np.testing.assert_allclose(whole.points[:, :2], episodes.path.points(1))
    floor = task.model.geom("floor").pos[2]
    assert ((floor < whole.points[:, 2]) & (whole.points[:, 2] < floor + 0.1)).all()
    np.testing.assert_array_equal(segment.points, whole.points[:2])
    last = int(episodes.path.segments[1, episodes.lengths[1]])
    marked = overlay(int(episodes.lengths[1]))[1].points
    np.testing.assert_array_equal(marked, whole.points[min(last, 2) : min(last, 2) + 2])
    with pytest.raises(ValueError, match="episodes must be ones that followed a path, got none"):
        overlays.Path(task, dataclasses.replace(episodes, path=None), 0)


def test_a_path_in_a_vertical_plane_is_drawn_there() -> None:
    task = mbmf.load_task("cheetah_trajfollow", path="forward_backward")
    assert overlays.is_upright(task)
    assert not overlays.is_upright(mbmf.load_task("ant_trajfollow"))
    assert not overlays.is_upright(mbmf.load_task("hopper_forward"))
    model = mbmf.DynamicsModel(task, hidden=(4,), seed=0)
    model.fit(mbmf.collect_random(task, 1, 30, seed=0, nthread=1), epochs=1, seed=0)
    planner = mbmf.RandomShooting(task, model, horizon=2, candidates=5, nthread=1)
    episodes = mbmf.collect_mpc(task, planner, 1, 3, seed=0)
    whole, _ = overlays.Path(task, episodes, 0)(2)
    start = episodes.states[0, 0]
    np.testing.assert_allclose(whole.points[:3, 0] - start[18], [0, 1, 2], atol=1e-9)
    np.testing.assert_allclose(whole.points[:, 2], start[20])
    # the candidates' costs are those of the segment and the origin: the best is the planner's
    lines = Plans(planner, model, episodes, 0, count=5)(2)
    assert episodes.path is not None
    segment, origin = int(episodes.path.segments[0, 2]), episodes.path.origins[0]
    plan = planner.plan(episodes.states[0, 2], 0, 2, segment=segment, origin=origin)
    np.testing.assert_allclose(lines[-1].points[-1, 0], plan.states[-1, 18], atol=0.05)
    best = best_candidates(planner, model, episodes.states[0, 2], 1, 0, 2, (segment, tuple(origin.tolist())))
    np.testing.assert_allclose(best[0], plan.states, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("count", [0, 51])
def test_count_of_plans(controller: Any, count: int) -> None:
    _, model, planner, episodes = controller
    with pytest.raises(ValueError, match=f"count must be from 1 to the planner's 50 candidates, got {count}"):
        Plans(planner, model, episodes, 0, count)


@pytest.mark.usefixtures("rendering")
def test_lines_are_in_the_picture() -> None:
    model = mujoco.MjModel.from_xml_string(BALL)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with Renderer(model, 96, 64) as renderer:
        plain = renderer.render(data).astype(int)
        red = (1.0, 0.0, 0.0, 1.0)
        line = Line(np.array([[-0.3, 0, 0.2], [0, 0, 0.2], [0.3, 0, 0.2]]), red, 0.02)
        drawn = renderer.render(data, [line]).astype(int)
        again = renderer.render(data).astype(int)
        nothing = renderer.render(data, [Line(np.zeros((1, 3)), red, 0.02)]).astype(int)
    changed = (drawn != plain).any(axis=2)
    assert changed.sum() > 30
    assert (drawn[changed][:, 0] > drawn[changed][:, 1:].max(axis=1)).mean() > 0.9  # reddish
    np.testing.assert_array_equal(again, plain)
    np.testing.assert_array_equal(nothing, plain)


@pytest.mark.usefixtures("rendering")
def test_video_of_a_recorded_episode_and_of_a_live_controller(
    small_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_runs / "run_1", tmp_path / "run_1")
    common = ["video", "--run_num=1", f"--runs_dir={tmp_path}", "--width=96", "--height=64"]
    videos = tmp_path / "run_1/videos"
    returns = mbmf.Episodes.load(tmp_path / "run_1/rollouts/saved.npz").returns
    for args, name, steps in (
        (["--rollouts=saved", "--episode=-1"], "saved_episode_1.mp4", 25),
        (["--live", "--steps=4", "--plans=3"], "live_0.mp4", 4),
    ):
        assert cli.main([*common, *args]) == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"{videos / name}: {steps} steps, reward ")
        if "saved" in name:
            assert printed.strip().endswith(f"{returns[1]:.2f}")
        reader = imageio_ffmpeg.read_frames(str(videos / name))
        next(reader)
        assert len(list(reader)) == steps + 1


@pytest.mark.usefixtures("rendering")
def test_videos_of_paths(path_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of another path than the run's, whose plans are for that one; and of one that no run has followed."""
    common = ["video", "--run_num=4", f"--runs_dir={path_runs}", "--width=32", "--height=32", "--plans=2"]
    for args in (
        ["--rollouts=paths/zigzag/iteration_1", "--episode=1"],
        ["--live", "--steps=2", "--desired_traj_type=left_turn"],
    ):
        out = tmp_path / f"{len(args)}.mp4"
        assert cli.main([*common, f"--output={out}", *args]) == 0
        assert out.exists()
    assert cli.main([*common, "--rollouts=paths/zigzag/iteration_2"]) == 2
    assert "must be one of iteration_1, paths/zigzag/iteration_1, got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--run_num=1", "--desired_traj_type=left_turn"], "must be given with --live only: a recorded"),
        (["--run_num=1", "--desired_traj_type=left_turn", "--live"], "path must be None for a robot that"),
        (["--run_num=-1"], "--run_num must be at least 0, got -1"),
        (["--run_num=9"], "run_9/config.yaml: run must exist, got none"),
        (["--run_num=1", "--steps=0"], "--steps must be at least 1, got 0"),
        (["--run_num=1", "--plans=-1"], "--plans must be at least 0, got -1"),
        (["--run_num=1", "--live", "--episode=1"], "--rollouts and --episode must not be given with --live"),
        (["--run_num=1", "--width=33"], "width must be a positive even number, got 33"),
        (["--run_num=1", "--rollouts=x"], "must be one of iteration_1, iteration_2, saved, got x"),
        (["--run_num=1", "--rollouts=../x"], "must be one of iteration_1, iteration_2, saved, got ../x"),
        (["--run_num=1", "--episode=2"], "--episode must be one of the 2 in "),
        (["--run_num=1", "--set", "reward[0].weight=5"], "--set must be given with --live: a recorded"),
    ],
)
@pytest.mark.usefixtures("rendering")
def test_bad_input(
    small_runs: Path, args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(small_runs.rglob("*"))
    assert cli.main(["video", f"--runs_dir={small_runs}", *args]) == 2
    assert message in capsys.readouterr().err
    assert sorted(small_runs.rglob("*")) == before


def test_a_run_without_models_cannot_drive(
    small_runs: Path, tmp_path: Path, rendering: None, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(small_runs / "run_1", tmp_path / "run_1")
    shutil.rmtree(tmp_path / "run_1/models")
    assert cli.main(["video", "--run_num=1", f"--runs_dir={tmp_path}", "--live"]) == 2
    assert "models: a dynamics model must exist to plan with, got none" in capsys.readouterr().err


def test_without_opengl_it_says_so_before_it_drives(
    small_runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(width: int, height: int) -> None:
        raise RuntimeError("no EGL device")

    monkeypatch.setattr("mbmf.simulation.renderer._make_context", broken)
    monkeypatch.setattr("mbmf.rollouts.collect.collect_mpc", lambda *args, **options: pytest.fail("it drove"))
    assert cli.main(["video", "--run_num=1", f"--runs_dir={small_runs}", "--live"]) == 2
    message = capsys.readouterr().err
    assert "cannot render here: no EGL device" in message
    assert "libegl1" in message


@pytest.mark.usefixtures("rendering")
def test_without_ffmpeg(controller: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    from mbmf.show.video import save_episode_video

    task, _, _, episodes = controller
    monkeypatch.setattr(sys.modules["imageio_ffmpeg"], "get_ffmpeg_exe", none)
    with pytest.raises(RenderError, match=r"cannot make videos here: there is no FFmpeg \(`pip install"):
        save_episode_video(task, episodes, 0, tmp_path / "x.mp4", width=32, height=32)
    assert list(tmp_path.iterdir()) == []
