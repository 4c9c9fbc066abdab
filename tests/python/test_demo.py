from __future__ import annotations

import re
from pathlib import Path

import pytest

from mbmf.cli import main as cli
from mbmf.cli import trained_swimmer
from mbmf.simulation.renderer import RenderError
from mbmf.tasks.file import PRESETS

SMALL = [
    "--iterations=2",
    "--random_episodes=3",
    "--episodes=2",
    "--steps=12",
    "--epochs=2",
    "--candidates=20",
]


@pytest.fixture(autouse=True)
def short(no_display: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown first is a video of a few steps."""
    monkeypatch.setattr(trained_swimmer, "STEPS", 8)


def test_demo_tells_rewards_and_leaves_pictures(
    rendering: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", *SMALL, f"--output={tmp_path / 'demo'}"]) == 0
    printed = capsys.readouterr().out
    reward = r"reward -?\d+\.\d\d ± \d+\.\d\d"
    assert re.search(f"random actions: {reward}", printed)
    assert re.findall(f"iteration (.) of 2: {reward}", printed) == ["1", "2"]
    curve, video = tmp_path / "demo/plots/learning_curve.png", tmp_path / "demo/videos/last_rollout.mp4"
    assert curve.read_bytes().startswith(b"\x89PNG")
    assert b"ftyp" in video.read_bytes()[:16]
    first = tmp_path / "demo/videos/trained.mp4"
    assert b"ftyp" in first.read_bytes()[:16]
    for path in (curve, video, first):
        assert str(path) in " ".join(printed.split())
    assert printed.index("A swimmer that has learned: reward") < printed.index("random actions: reward")


def test_demo_without_rendering_says_so_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*args: object, **kwargs: object) -> None:
        raise RenderError("cannot render here: no EGL")

    monkeypatch.setattr("mbmf.show.video.Renderer", cannot)
    assert cli.main(["demo", *SMALL, f"--output={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("no video: cannot render here: no EGL") == 1
    assert printed.count("no video of trained: cannot render here: no EGL") == 1
    assert (tmp_path / "plots/learning_curve.png").exists()
    assert list((tmp_path / "videos").iterdir()) == []


def test_demo_is_reproducible_and_replaces_an_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mbmf.cli.demo._show", lambda *args: [])
    monkeypatch.setattr("mbmf.cli.demo.show_trained", lambda *args: None)
    rewards = []
    for arguments in (["--nthread=1"], ["--nthread=2"], ["--seed=1"]):
        assert cli.main(["demo", *SMALL, *arguments, f"--output={tmp_path}"]) == 0
        rewards.append(re.findall(r"reward .*", capsys.readouterr().out))
    assert rewards[0] == rewards[1] != rewards[2]


def test_the_trained_swimmer_swims(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the model of the package, which is small, fits the preset, and plans well."""
    assert (PRESETS / "swimmer_forward.safetensors").stat().st_size < 300_000
    monkeypatch.setattr(trained_swimmer, "STEPS", 60)
    monkeypatch.setattr("mbmf.show.viewer.show_episode", lambda *args: None)
    notes: list[str] = []
    trained_swimmer.show_trained(tmp_path / "trained.mp4", 1, notes.append)
    reward = float(re.findall(r"reward (\S+) in 9 s", capsys.readouterr().out)[0])
    assert reward > 8
    assert notes == []
