"""`mbmf view`: a robot in the browser whose plans may be changed, and what is refused."""

from __future__ import annotations

import _thread
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import mbmf
from browser import FOUND, Browser, browser, serve_at_once
from mbmf.cli import main as cli
from mbmf.cli.trained_swimmer import trained_model
from mbmf.show.driven import Driven, paths, weights
from mbmf.show.overlays import why_no_plans
from mbmf.tasks.searches import search_kind
from small_mb_run import make_run as make_small_run
from test_control import make_run
from test_planner import make_model

SMALL = {
    "random_train": {"episodes": 1, "steps": 60},
    "iterations": 1,
    "steps_per_rollout": 10,
    "horizon": 3,
    "candidates": 20,
}


@pytest.fixture
def port() -> int:
    """One that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


@pytest.fixture
def driven() -> Driven:
    return Driven(*trained_model(), nthread=1)


def test_it_drives_and_shows_what_it_chose_among(driven: Driven) -> None:
    """The actions are those of the planner alone, whether candidates are shown or not."""
    other = Driven(*trained_model(), nthread=1)
    other.plans = 0
    for _ in range(4):
        found = driven.step()
        assert other.step() is None
        np.testing.assert_array_equal(driven.state, other.state)
    assert found is not None
    assert len(found.ways) == 10
    assert all(way.shape == (21, 3) for way in found.ways)
    assert (np.diff(found.costs) >= 0).all()
    assert found.costs[0] < found.costs[-1]
    assert found.ends.std(axis=0).max() > 1e-3
    robot = driven.data.subtree_com[1]
    assert np.linalg.norm(found.ways[0][0] - robot) < 1  # they begin where it was a step ago
    assert driven.steps == 4
    assert driven.reward == other.reward != 0


def test_changes_take_effect_and_bad_ones_leave_it_as_it_is(driven: Driven) -> None:
    driven.plan_with(horizon=7)
    assert (driven.planner.horizon, driven.planner.search) == (7, "icem")
    assert driven.settings.settings["colour"] == 2
    driven.plan_with(search="cem", candidates=80)
    driven.plan_with(elites=5)
    assert (driven.planner.search, driven.planner.candidates, driven.planner.settings["elites"]) == (
        "cem",
        80,
        5,
    )
    with pytest.raises(ValueError, match="elites must be at most the 80 candidates"):
        driven.plan_with(elites=81)
    assert driven.planner.settings["elites"] == 5
    assert driven.step() is not None
    (key, (name, weight)), *_ = weights(driven.task).items()
    assert key == "cost[0].weight"
    assert name.startswith("cost 0: linear of")
    state, action = driven.state[None, None].repeat(2, axis=1), np.zeros((1, 1, driven.task.naction))
    before = driven.planner.task.cost(state, action)
    driven.weigh(key, 3 * weight)
    np.testing.assert_allclose(driven.planner.task.cost(state, action), 3 * before, rtol=1e-5)
    np.testing.assert_allclose(driven.task.cost(state, action), before)


def test_a_push_makes_it_faster_for_one_step(driven: Driven) -> None:
    calm = Driven(*trained_model(), nthread=1)
    driven.push("left (+y)", 2.0)
    for each in (driven, calm):
        each.step()
    assert driven.data.qvel[1] - calm.data.qvel[1] > 0.5
    assert not driven.data.xfrc_applied.any()
    assert driven.reward != 0


def test_paths_are_switched_where_the_robot_is() -> None:
    task = mbmf.load_task("ant_trajfollow")
    model, _ = make_model(task)
    driven = Driven(task, model, nthread=1)
    driven.plan_with(candidates=30, horizon=4)
    driven.step()
    assert paths(driven.task)[:2] == ["straight", "backward"]
    driven.follow("left_turn")
    path = driven.planner.task.path
    assert path is not None
    assert path.name == "left_turn"
    driven.step()
    assert paths(trained_model()[0]) == []


def test_what_is_refused(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mjviser")
    where = f"--port={port}"
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert cli.main(["view", where]) == 2
        said = capsys.readouterr().err
        assert f"must be free ones of this machine, got 127.0.0.1:{port}: Address already in use" in said
    for words, message in {
        ("--port=70000",): "a page's port must be from 1 to 65535, got 70000",
        (where, "--run_num=7", f"--runs_dir={tmp_path}"): "run_7",
        (where, "--plans=51"): "--plans must be from 0 to 50, got 51",
        (where, "--seconds=-1"): "--seconds must be at least 0",
        (where, "--search=icm"): "--search must be a search",
    }.items():
        assert cli.main(["view", *words]) == 2, words
        assert message in capsys.readouterr().err


def test_no_extra_and_no_browser(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mjviser")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["view", "--browser", f"--port={port}"]) == 2
    assert "--browser must be given where a browser opens, got none" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "viser", None)
    assert cli.main(["view", f"--port={port}"]) == 2
    assert 'which is not installed: pip install "mbmf[view]"' in capsys.readouterr().err


@pytest.fixture
def page(port: int) -> Iterator[str]:
    """The address of the page of the command, while it runs."""
    pytest.importorskip("mjviser")
    command = [sys.executable, "-m", "mbmf.cli.main", "view", f"--port={port}", "--nthread=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"swimmer_forward: http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        yield line.split()[1]
        process.send_signal(2)
        out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert "reward" in out
    assert "Traceback" not in error


def test_the_page_is_served(page: str) -> None:
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert answer.status == 200
        assert b"<html" in answer.read()


@pytest.mark.slow
@pytest.mark.skipif(FOUND is None, reason="no Chromium here: apt install chromium")
def test_a_browser_shows_and_changes_it(page: str, tmp_path: Path) -> None:
    with browser(page, tmp_path / "profile") as tab:
        text = tab.text("candidates; cost", 60)
        for name in ("pause", "push", "horizon", "colour", "cost 0: linear"):
            assert name in text
        tab.value("[...document.querySelectorAll('button')].find(b => b.innerText == 'start again').click()")
        assert "reward" in tab.text("episode 2", 60)
        tab.save(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 20_000


def test_plans_whose_states_say_no_pose_are_not_drawn(
    tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gymnasium's tasks know a speed in place of where the robot is; it is seen all the same."""
    config = mbmf.load_task("gym_half_cheetah").to_data()
    small = {
        **config,
        "model_based": {**config["model_based"], **SMALL},
        "dynamics": {"hidden": [8], "epochs": 1},
    }
    made = make_small_run(tmp_path / "run_1", small)
    words = [f"--runs_dir={tmp_path}", "--run_num=1", "--nthread=1"]
    assert cli.main(["view", *words, f"--port={port}", "--seconds=0.3"]) == 0
    output = capsys.readouterr()
    assert "no plans are drawn: cannot render the task gym_half_cheetah: its state does" in output.err
    assert "episode 1: reward" in output.out
    for flags in (["--live", "--plans=3", "--steps=2"], ["--plans=3"]):
        assert cli.main(["video", *words, *flags, f"--output={tmp_path / 'a.mp4'}"]) == 2
        assert "--plans must be 0 here: cannot render" in capsys.readouterr().err
    assert not (made / "a.mp4").exists()
    assert why_no_plans(mbmf.load_task("cheetah_forward")) is None


def test_the_page_beside_a_control_loop(port: int) -> None:
    pytest.importorskip("mjviser")
    from mbmf.show.page_process import PageProcess

    task, model = trained_model()
    simulator = mbmf.Simulator(task, nthread=1)
    page = PageProcess(task, model, 0, "127.0.0.1", port)
    try:
        page.show(simulator.get_state()[0])
        with urllib.request.urlopen(page.url, timeout=30) as answer:
            assert answer.status == 200
        assert page.wanted_path() is None
    finally:
        page.close()
    page.show(simulator.get_state()[0])  # of a page that is gone: nothing happens
    assert page.wanted_path() is None


def count(tab: Browser) -> int:
    """Of the candidates that the last plan chose among, in all rounds, as the page says it."""
    return int(re.findall(r"(\d+) candidates; cost", tab.text("candidates; cost"))[0])


def wait_until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(FOUND is None, reason="no Chromium here: apt install chromium")
def test_sliders_are_moved_in_the_browser(page: str, tmp_path: Path) -> None:
    with browser(page, tmp_path / "profile") as tab:
        tab.text("candidates; cost", 60)
        tab.slide("candidates", "End")  # 40 become 160
        wait_until(lambda: count(tab) > 300)
        tab.slide("candidates", "Home")
        tab.text("elites must be at most the 1 candidates, got 10")
        wait_until(lambda: count(tab) > 300)  # the robot goes on as before
        tab.choose("search", "random_shooting")
        wait_until(lambda: count(tab) == search_kind("random_shooting").candidates)


@pytest.mark.slow
@pytest.mark.skipif(FOUND is None, reason="no Chromium here: apt install chromium")
def test_a_control_loop_takes_the_path_that_is_chosen_on_its_page(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mjviser")
    make_run(tmp_path / "run_1", "swimmer_trajfollow")
    # on a machine that has much to do the page would wait for ever
    monkeypatch.setattr("mbmf.show.page_process._serve", serve_at_once)
    monkeypatch.setattr("mbmf.cli.control._yield_to_the_loop", lambda: None)
    texts: list[str] = []

    def choose() -> None:
        try:
            while not said(f"page: http://127.0.0.1:{port}\n"):
                time.sleep(0.1)
            with browser(f"http://127.0.0.1:{port}", tmp_path / "profile") as tab:
                tab.text("candidates; cost", 100)
                tab.choose("path", "left_turn")
                wait_until(lambda: said("path left_turn from step"))
                texts.append(tab.text("candidates; cost"))
        finally:
            _thread.interrupt_main()

    def said(text: str) -> bool:
        out.append(capsys.readouterr().out)
        return text in "".join(out)

    out: list[str] = []
    thread = threading.Thread(target=choose)
    thread.start()
    words = [f"--runs_dir={tmp_path}", f"--view_port={port}", "--seconds=600", "--candidates=50"]
    assert cli.main(["control", "--run_num=1", *words, "--horizon=4", "--nthread=1"]) == 130
    thread.join()
    assert re.search(r"path left_turn from step \d+ on\n", "".join(out))
    assert len(texts) == 1
