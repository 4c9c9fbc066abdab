"""Paths of tasks: names, files, arrays, the presets' numbers, and every refusal."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import mbmf
from mbmf.errors import ConfigError, DataError
from mbmf.tasks import paths
from path_oracle import CASES, Case

SWIMMER = mbmf.load_task("swimmer_trajfollow")


@pytest.mark.parametrize("case", CASES, ids=[f"{case.agent}-{case.path}" for case in CASES])
def test_the_papers_paths(case: Case) -> None:
    path = mbmf.load_task(f"{case.agent}_trajfollow", path=case.path).path
    assert path is not None
    np.testing.assert_allclose(path.waypoints, case.points, atol=1e-12)
    assert (path.name, path.relative, path.last_segment, path.segment_rule, path.borrowed) == (
        *(case.path, True, 5, "predicted"),
        False,
    )
    assert (path.distance, path.forward, path.heading) == (case.P, case.F, case.B)
    assert path.start_heading == (math.pi / 2 if (case.agent, case.path) == ("swimmer", "right_turn") else 0)


def test_only_what_is_borrowed_is_said_to_be() -> None:
    data = SWIMMER.to_data()
    data["path"]["paths"]["mine"] = {"horiz_penalty_factor": 3.0, "waypoints": [[0, 0], [1, 1]]}
    task = mbmf.load_task(data)
    said = "no forward_encouragement_factor and heading_penalty_factor of its own for the path mine"
    with pytest.warns(UserWarning, match=said):
        path = task.with_path("mine").path
    assert path is not None
    assert path.distance == 3


def test_the_circle_is_in_the_world_and_anybody_may_take_any_path() -> None:
    with pytest.warns(UserWarning, match="swimmer_trajfollow has no factors of its own for the path circle"):
        circle = SWIMMER.with_path("circle").path
    assert circle is not None
    assert not circle.relative
    assert circle.borrowed
    angles = -np.pi * np.arange(10) / 8
    np.testing.assert_allclose(circle.waypoints, 2 * np.stack([np.cos(angles) - 1, np.sin(angles)], 1))
    with pytest.warns(UserWarning, match="cheetah_trajfollow has no factors .* for the path u_turn"):
        task = mbmf.load_task("cheetah_trajfollow", path="u_turn")
    assert task.path is not None
    assert (task.path.distance, task.path.forward, task.path.heading) == (0, 40, 10)


@pytest.mark.parametrize("name", ["forwardbackward", "Forward-Backward", "FORWARD_BACKWARD"])
def test_case_and_dashes_do_not_matter(name: str) -> None:
    path = mbmf.load_task("cheetah_trajfollow", path=name).path
    assert path is not None
    assert path.name == "forward_backward"


def test_candidates_of_the_ant() -> None:
    straight, turn = (mbmf.load_task("ant_trajfollow", path=path) for path in (None, "left_turn"))
    for task, candidates in ((straight, 3000), (turn, 7000)):
        assert task.model_based is not None
        assert (task.model_based.candidates, task.model_based.horizon) == (candidates, 15)


def starts(task: mbmf.Task, kind: Any, count: int = 4000) -> np.ndarray:
    simulator = mbmf.Simulator(task, nsim=count, seed=5)
    simulator.reset(kind=kind)
    return np.array(simulator.states)


def test_resets_of_the_swimmer() -> None:
    random = starts(SWIMMER, "random")[:, :10]
    np.testing.assert_allclose(random[:, [0, 1, 3, 4]].std(axis=0), 0.5, rtol=0.05)
    np.testing.assert_allclose(random[:, 5:].std(axis=0), 0.1, rtol=0.05)
    assert -math.pi <= random[:, 2].min() < -3.1
    assert 3.1 < random[:, 2].max() < math.pi
    np.testing.assert_allclose(random[:, 2].std(), math.pi / 3**0.5, rtol=0.05)
    for path, heading in (("straight", 0.0), ("left_turn", 0.0), ("right_turn", math.pi / 2)):
        control = starts(SWIMMER.with_path(path), "control")
        np.testing.assert_array_equal(control[:, 2], heading)
        assert 0.099 < np.abs(control[:, :2]).max() < 0.1
        assert 0.099 < np.abs(control[:, 5:10]).max() < 0.1


def test_a_users_waypoints_start_in_their_direction(tmp_path: Path) -> None:
    points = [[1, 1], [0, 2], [-1, 2]]
    task = SWIMMER.with_path(points)
    assert task.path is not None
    assert (task.path.name, task.path.last_segment, task.path.borrowed) == ("waypoints", 1, True)
    np.testing.assert_array_equal(task.path.waypoints, points)
    np.testing.assert_allclose(starts(task, "control", 3)[:, 2], 3 * math.pi / 4)

    file = tmp_path / "my path.csv"
    file.write_text("x,y\n# metres\n 1 , 1\n\n0,2.0\n-1,2e0\n")
    assert SWIMMER.with_path(file).path is not None
    for where in (file, str(file)):
        again = SWIMMER.with_path(where)
        assert again.path is not None
        assert again.path.name == "my_path"
        np.testing.assert_array_equal(again.path.waypoints, points)
    (tmp_path / "left_turn.csv").write_text("0,0\n1,0")
    named = SWIMMER.with_path(tmp_path / "left_turn.csv").path
    assert named is not None
    assert (named.name, len(named.waypoints)) == ("left_turn_file", 2)

    # the configuration says it all
    loaded = mbmf.load_task(yaml.safe_load(task.to_yaml()))
    assert loaded == task
    assert loaded != SWIMMER
    assert loaded.same_robot(SWIMMER)
    states = np.random.default_rng(0).normal(size=(5, 4, 16))
    actions = np.zeros((5, 3, 2))
    np.testing.assert_array_equal(loaded.cost(states, actions, 1), task.cost(states, actions, 1))


finite = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_csv_files_say_their_points(points: list[tuple[float, float]], end: str) -> None:
    import tempfile

    distinct = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        file.write_bytes(end.join(f"{x!r},{y!r}" for x, y in points).encode())
        if len(distinct) == len(points):
            np.testing.assert_array_equal(paths.read_waypoints(file), points)
        else:
            with pytest.raises(ConfigError, match="must be waypoints that differ from the one before"):
                paths.read_waypoints(file)


@given(st.text(max_size=80))
def test_whatever_a_file_holds_is_points_or_an_error(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        file.write_text(text, encoding="utf-8", newline="")
        message = ""
        try:
            points = paths.read_waypoints(file)
        except ConfigError as error:
            message, points = str(error), np.zeros((2, 2))
        assert message.startswith(str(file)) or not message
        assert points.shape[0] >= 2
        assert np.isfinite(points).all()


FILES: list[tuple[str, str]] = [
    ("", "must be 2 to 100000 waypoints, got 0"),
    ("x,y\n1,2\n", "must be 2 to 100000 waypoints, got 1"),
    ("0,0\n1,north\n", "row 2 must be two finite numbers x,y, got '1,north'"),
    ("0,0\n1,nan\n", "row 2 must be two finite numbers x,y, got '1,nan'"),
    ("x,y\n0,0\n\n1,inf\n", "row 4 must be two finite numbers x,y, got '1,inf'"),
    ("0,0\n1\n", "row 2 must be two finite numbers x,y, got '1'"),
    ("0,0\n1,2,3\n", "row 2 must be two finite numbers x,y, got '1,2,3'"),
    ("0 0\n1 2\n", "row 1 must be two finite numbers x,y, got '0 0'"),
    ("y,x\n0,0\n1,0\n", "row 1 must be x,y, as the columns are, got 'y,x'"),
    ("x,y\na,b\n0,0\n", "row 2 must be two finite numbers x,y, got 'a,b'"),
    ("0,0\n1,2\n# again\n1,2.0\n", "got [1.0, 2.0] twice, in row 2 and row 4"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "path.csv"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(file)) + ".*" + re.escape(message)):
        SWIMMER.with_path(file)


def test_bad_paths(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"0,0\n\xff,1")
    known = "straight, left_turn, right_turn, backward, forward_backward, u_turn, circle"
    table: list[tuple[Callable[[], object], str]] = [
        (lambda: SWIMMER.with_path("zigzag"), f"path must be a known path ({known}), a CSV file"),
        (lambda: SWIMMER.with_path("left"), "nearest: left_turn"),
        (lambda: SWIMMER.with_path(tmp_path / "none.csv"), "path must be a file that can be read, got"),
        (lambda: SWIMMER.with_path(tmp_path / "bytes.csv"), "must be UTF-8 text"),
        (lambda: SWIMMER.with_path([[0, 0]]), "path must be 2 to 100000 waypoints, got 1"),
        (lambda: SWIMMER.with_path(np.eye(3)), "path must be waypoints of shape (P, 2), got shape (3, 3)"),
        (lambda: SWIMMER.with_path([[0, 0], [1, np.nan]]), "path must be finite, got [1.0, nan] in row 1"),
        (lambda: SWIMMER.with_path([[0, 0], [1, 1], [1, 1]]), "got [1.0, 1.0] twice, in row 1 and row 2"),
        (lambda: SWIMMER.with_path([["a", "b"]]), "path must be a path's name, a CSV file or waypoints"),
        (lambda: SWIMMER.with_path(5.0), "path must be waypoints of shape (P, 2), got shape ()"),
        (lambda: SWIMMER.with_path(None, "soon"), "segment_rule must be predicted or reached, got 'soon'"),
        (
            lambda: mbmf.load_task("hopper_forward", path="left_turn"),
            "path must be None for a robot that does not say its x and y (the task's file has no section "
            "path), got 'left_turn'; presets that follow paths: ant_trajfollow, cheetah_trajfollow, "
            "swimmer_trajfollow",
        ),
        (
            lambda: mbmf.load_task("swimmer_trajfollow", cost=lambda s, a: s[:, 0, 0]),
            "cost must be terms of the file for a task that follows paths",
        ),
    ]  # fmt: skip
    for call, message in table:
        with pytest.raises(ConfigError, match=re.escape(message)):
            call()
    states, actions = np.zeros((1, 3, 16)), np.zeros((1, 2, 2))
    for arguments, message in (
        ({"segment": -1}, "segment must be"),
        ({"segment": 0.5}, "segment must be a whole number, got 0.5"),
        ({"origin": [0, 0, 0]}, "origin must be of shape (2,), got (3,)"),
        ({"origin": [0, np.inf]}, "origin must be finite"),
    ):
        with pytest.raises((DataError, ValueError), match=re.escape(message)):
            SWIMMER.cost(states, actions, **arguments)  # type: ignore[arg-type]


SECTION: list[tuple[dict[str, Any], str]] = [
    ({"x": "qpos.nose"}, "path.x must be a state ("),
    ({"y": "subtree_com.torso"}, "path.y must be one state, got ['subtree_com.torso']"),
    ({"heading": ["qpos.motor1_rot", 2]}, "path.heading must be one state"),
    ({"start_joint": "neck"}, "path.start_joint must be a position of a joint ("),
    ({"paths": {}}, "path must be a mapping whose paths have straight, with all three factors"),
    ({"paths": {"straight": {"horiz_penalty_factor": 1}}}, "path must be a mapping whose paths have"),
    ({"follow": "zigzag"}, "path must be a known path ("),
    ({"segment_rule": "soon"}, "path.segment_rule must be a known word (predicted, reached"),
    ({"last_segment": -1}, "path.last_segment must be an integer from 0"),
    ({"penalties": [{"state": "qpos.motor1_rot"}]}, "path.penalties[0] must be a mapping with a bound"),
    ({"penalties": [{"state": "qpos.arm", "min": 0}]}, "path.penalties[0].state must be a state ("),
    ({"wide": 1}, "path.wide must be a known key (far_distance, far_factor, follow, "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), SECTION)
def test_bad_sections(change: dict[str, Any], message: str) -> None:
    config = yaml.safe_load(SWIMMER.to_yaml())
    config["path"] |= change
    with pytest.raises(ConfigError, match=re.escape(message)):
        mbmf.load_task(config)


@pytest.mark.parametrize("points", [[[0, 0]], [[0, 0], [0, 0]], [[0, 0], [1]], [[0, 0], [1, "a"]], "left"])
def test_bad_waypoints_of_a_section(points: Any) -> None:
    config = yaml.safe_load(SWIMMER.to_yaml())
    config["path"]["paths"]["mine"] = {"waypoints": points}
    message = (
        "path.paths.mine.waypoints must be a list of two or more points [x, y], finite, each another than"
    )
    with pytest.raises(ConfigError, match=re.escape(message)):
        mbmf.load_task(config)


def test_a_path_of_a_users_file() -> None:
    config = yaml.safe_load(SWIMMER.to_yaml())
    config["path"]["paths"]["mine"] = {
        "waypoints": [[0, 0], [0, 1]],
        "absolute": True,
        "forward_encouragement_factor": 7,
    }
    config["path"]["follow"] = "mine"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = mbmf.load_task(config).path
    assert path is not None
    assert (path.relative, path.forward, path.distance, path.last_segment) == (False, 7, 4, 0)
