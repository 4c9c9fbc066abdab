"""What is visualised: in the viewer where there is a display, else as a video, else one line says why not."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.cli import main as cli
from mbmf.runs.run import Run
from mbmf.show import viewer
from mbmf.simulation import renderer
from mbmf.simulation.renderer import RenderError


@pytest.fixture
def episodes(small_runs: Path) -> mbmf.Episodes:
    return mbmf.Episodes.load(small_runs / "run_1/rollouts/iteration_1.npz")


class Window:
    """Stands in for the viewer's; it is closed by its user after ``lasts`` pictures."""

    def __init__(self, lasts: int) -> None:
        self.lasts = lasts
        self.shown: list[Any] = []
        self.user_scn = None
        self.cam = types.SimpleNamespace(type=None, fixedcamid=None)

    def launch(self, model: Any, data: Any, **options: Any) -> Window:
        self.data = data
        return self

    def is_running(self) -> bool:
        return len(self.shown) < self.lasts

    def sync(self) -> None:
        self.shown.append((self.data.qpos.copy(), self.data.time))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def short_task() -> mbmf.Task:
    return mbmf.load_task("swimmer_forward")


@pytest.mark.parametrize("lasts", [1000, 3])
def test_an_episode_is_played_in_the_viewer(
    episodes: mbmf.Episodes, lasts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mujoco.viewer

    window = Window(lasts)
    naps: list[float] = []
    monkeypatch.setattr(mujoco.viewer, "launch_passive", window.launch)
    monkeypatch.setattr(viewer, "no_window", lambda: None)
    monkeypatch.setattr(viewer.time, "sleep", naps.append)
    said: list[str] = []
    viewer.show_episode(short_task(), episodes, 1, tmp_path / "iteration_1.mp4", said.append)
    assert said == ["iteration_1 was shown in the viewer"]
    assert list(tmp_path.iterdir()) == []
    steps = min(lasts, int(episodes.lengths[1]) + 1)
    np.testing.assert_allclose([pose for pose, _ in window.shown], episodes.states[1, :steps, :5])
    np.testing.assert_allclose([time for _, time in window.shown], 0.15 * np.arange(steps))
    assert sum(naps) > 0


def test_a_window_that_does_not_open_is_followed_by_a_video(
    episodes: mbmf.Episodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mujoco.viewer

    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("could not initialize GLFW")

    monkeypatch.setattr(mujoco.viewer, "launch_passive", broken)
    monkeypatch.setattr(viewer, "no_window", lambda: None)
    written: list[Path] = []
    monkeypatch.setattr(viewer, "save_episode_video", lambda *args, **options: written.append(args[3]))
    said: list[str] = []
    path = tmp_path / "videos" / "iteration_1.mp4"
    viewer.show_episode(short_task(), episodes, 0, path, said.append)
    assert written == [path]
    assert said == [f"no window opens here (could not initialize GLFW): iteration_1 is a video, {path}"]


@pytest.mark.usefixtures("no_display")
def test_without_display_and_opengl_one_line_says_so(
    episodes: mbmf.Episodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*args: Any, **options: Any) -> None:
        raise RenderError("cannot render here: no EGL")

    monkeypatch.setattr("mbmf.show.video.Renderer", cannot)
    said: list[str] = []
    viewer.show_episode(short_task(), episodes, 0, tmp_path / "iteration_1.mp4", said.append)
    assert said == ["no video of iteration_1: cannot render here: no EGL"]


def test_a_prediction_is_an_episode(small_runs: Path, episodes: mbmf.Episodes) -> None:
    run = Run(small_runs / "run_1")
    task = mbmf.load_task(run.config()["task"])
    model = mbmf.DynamicsModel.load(run.model(1), task)
    predicted = viewer.predicted_episode(task, model, episodes, index=1, steps=10)
    assert len(predicted) == 1
    assert predicted.lengths[0] == 10
    state = episodes.states[1, 0].astype(np.float32)
    for step in range(10):
        np.testing.assert_allclose(predicted.states[0, step], state, rtol=1e-4, atol=1e-5)
        state = model.predict(state[None], episodes.actions[1, step][None])[0]


def test_a_prediction_ends_where_it_is_not_finite(episodes: mbmf.Episodes) -> None:
    class Explodes:
        def open_loop(self, states: Any, actions: Any) -> Any:
            predicted = np.repeat(states[:, None], actions.shape[1] + 1, axis=1)
            predicted[:, 4:] = np.inf
            return predicted

    model: Any = types.SimpleNamespace(core=Explodes())
    predicted = viewer.predicted_episode(short_task(), model, episodes)
    assert predicted.lengths[0] == 3


@pytest.mark.slow
@pytest.mark.usefixtures("rendering", "no_display")
def test_the_flags_of_mb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole small run, on a path, with everything that can be seen."""
    import yaml

    config = yaml.safe_load(mbmf.load_task("swimmer_trajfollow").to_yaml())
    config["model_based"] |= {
        "random_train": {"episodes": 1, "steps": 30},
        "random_validation": {"episodes": 1, "steps": 110},
        "hidden": [8],
        "epochs": 1,
        "candidates": 10,
        "horizon": 2,
        "steps_per_rollout": 5,
    }
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(config))
    flags = ["--might_render", "--visualize_MPC_rollout", "--perform_forwardsim_for_vis"]
    args = ["mb", f"--yaml_file={tmp_path / 'task.yaml'}", f"--runs_dir={tmp_path}", "--print_minimal"]
    assert cli.main([*args, *flags]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: there is no")]
    videos = tmp_path / "run_0/videos"
    assert said == [
        f"note: there is no display: what is visualised will be videos in {videos}",
        f"note: there is no display: iteration_1 is a video, {videos / 'iteration_1.mp4'}",
        f"note: there is no display: forwardsim_1 is a video, {videos / 'forwardsim_1.mp4'}",
    ]
    assert {path.name for path in videos.iterdir()} == {"iteration_1.mp4", "forwardsim_1.mp4"}
    assert (tmp_path / "run_0/plots/forwardsim_1.svg").exists()
    # the run's figures are in TensorBoard's events
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run_0/tb"))
    events.Reload()
    assert set(events.Tags()["images"]) == {"reward", "losses", "paths"}
    assert "reward_mean" in events.Tags()["scalars"]


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "there is no display"),
        ("linux", {"DISPLAY": ":0"}, None),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, None),
        ("linux", {"DISPLAY": ":7"}, "the display :7 cannot be used"),
        ("darwin", {}, None),
    ],
)
def test_displays(
    platform: str, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer.sys, "platform", platform)
    monkeypatch.setattr(renderer, "_opens", lambda display: ":7" not in display)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert renderer.no_window() == expected


def test_a_picture_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MBMF_TRACEBACK", raising=False)
    said: list[str] = []
    for error in (ZeroDivisionError("why"), RenderError("no EGL"), TypeError()):
        with viewer.never_stopping("plot", said.append):
            raise error
    assert said == ["no plot: why", "no plot: no EGL", "no plot: TypeError"]
    with pytest.raises(KeyboardInterrupt), viewer.never_stopping("plot", said.append):
        raise KeyboardInterrupt


def test_a_display_is_announced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(viewer, "no_window", lambda: None)
    said: list[str] = []
    viewer.announce(short_task(), tmp_path, said.append)
    assert said == ["what is visualised is shown in the viewer, which closes by itself"]
