"""mbmf.Episodes: its invariants, its arithmetic, and its files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.errors import DataError
from mbmf.files import atomic_write


def make(count: int = 3, steps: int = 5, observations: bool = False, task: str = "thing") -> mbmf.Episodes:
    """Episodes of lengths steps, steps - 1, ..., with a number of its own everywhere."""
    lengths = np.array([max(0, steps - i) for i in range(count)], np.int32)
    arrays: dict[str, Any] = {
        "states": np.arange(count * (steps + 1) * 4, dtype=np.float64).reshape(count, steps + 1, 4) + 1,
        "actions": np.linspace(-1, 1, count * steps * 2, dtype=np.float32).reshape(count, steps, 2),
        "rewards": np.arange(count * steps, dtype=np.float64).reshape(count, steps) + 1,
    }
    if observations:
        arrays["observations"] = arrays["states"][..., :3] * 10
    for name, array in arrays.items():
        for i, length in enumerate(lengths):
            array[i, length + (name in ("states", "observations")) :] = 0
    terminated = lengths < steps
    return mbmf.Episodes(
        **{"observations": None, **arrays},
        lengths=lengths,
        terminated=terminated,
        diverged=np.zeros(count, np.bool_),
        task=task,
    )


def same(a: mbmf.Episodes, b: mbmf.Episodes) -> bool:
    pairs = zip(a._arrays().values(), b._arrays().values(), strict=True)
    return a.task == b.task and all(
        x is y if x is None or y is None else x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs
    )


def test_transitions_are_the_real_steps_only() -> None:
    episodes = make()
    states, actions, next_states = episodes.transitions()
    expected = [(e, t) for e in range(3) for t in range(5 - e)]
    assert episodes.nsteps == len(expected) == 12
    assert len(episodes) == 3
    for row, (e, t) in enumerate(expected):
        np.testing.assert_array_equal(states[row], episodes.states[e, t])
        np.testing.assert_array_equal(next_states[row], episodes.states[e, t + 1])
        np.testing.assert_array_equal(actions[row], episodes.actions[e, t])
    assert (states.dtype, actions.dtype, next_states.dtype) == (np.float64, np.float32, np.float64)
    np.testing.assert_array_equal(episodes.returns, episodes.rewards.sum(1))
    # what lies past an episode's end counts nowhere
    short = dataclasses.replace(episodes, lengths=np.full(len(episodes), 2, np.int32))
    np.testing.assert_array_equal(short.returns, episodes.rewards[:, :2].sum(1))
    assert repr(episodes) == "<mbmf.Episodes thing: 3 episodes, 12 steps>"


def test_select_and_concatenate() -> None:
    episodes = make(observations=True)
    assert same(episodes.select([0, 1, 2]), episodes)
    assert same(episodes.select([True, True, True]), episodes)
    assert episodes.select([2, 0]).lengths.tolist() == [3, 5]
    assert episodes.select(episodes.terminated).lengths.tolist() == [4, 3]
    assert episodes.select([-1]).lengths.tolist() == [3]
    assert len(episodes.select([])) == 0
    longer = make(2, 9, observations=True)
    both = mbmf.Episodes.concatenate([episodes, longer, episodes.select([])])
    assert both.states.shape == (5, 10, 4)
    assert both.lengths.tolist() == [5, 4, 3, 9, 8]
    for mine, theirs in zip(both.transitions(), episodes.transitions(), strict=True):
        np.testing.assert_array_equal(mine[:12], theirs)
    assert both.observations is not None
    assert not both.observations[:3, 6:].any()
    for bad, message in (
        (make(task="other", observations=True), "batches must be of one task"),
        (make(), "batches must be of one task"),
    ):
        with pytest.raises(DataError, match=message):
            mbmf.Episodes.concatenate([episodes, bad])
    with pytest.raises(ValueError, match="one or more"):
        mbmf.Episodes.concatenate([])
    assert len(mbmf.Episodes.concatenate(each for each in (episodes, longer))) == len(episodes) + len(longer)
    for which, message in (
        ([3], "which must be episodes of 3"),
        ([True], r"which must be a mask of shape \(3,\)"),
        ([0.5], "which must be a mask or whole numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            episodes.select(which)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": np.zeros((3, 6, 4), np.float32)}, "states must be float64, got float32"),
        ({"states": [[1.0]]}, "states must be float64, got list"),
        ({"states": np.zeros((3, 24))}, r"states must be of shape \(E, T \+ 1, nstate\), got \(3, 24\)"),
        (
            {"actions": np.zeros((3, 6, 2), np.float32)},
            r"actions must be of shape \(3, 5, 2\), got \(3, 6, 2\)",
        ),
        ({"rewards": np.zeros((2, 5))}, r"rewards must be of shape \(3, 5\), got \(2, 5\)"),
        ({"lengths": np.array([5, 6, 1], np.int32)}, "lengths must be from 0 to 5, got 1 to 6"),
        ({"lengths": np.array([5, -1, 1], np.int32)}, "lengths must be from 0 to 5, got -1 to 5"),
        ({"diverged": np.zeros(3)}, "diverged must be bool, got float64"),
        (
            {"observations": np.zeros((3, 5, 1))},
            r"observations must be of shape \(3, 6, 1\), got \(3, 5, 1\)",
        ),
        ({"rewards": np.full((3, 5), np.nan)}, r"rewards must be finite, got nan at \[0, 0\]"),
        (
            {"actions": np.full((3, 5, 2), -1.5, np.float32)},
            r"actions must be in \[-1, 1\], got -1.5 at \[0, 0, 0\]",
        ),
    ],
)
def test_wrong_arrays_are_refused(change: dict[str, Any], message: str) -> None:
    arrays = {**make()._arrays(), "task": "thing", **change}
    with pytest.raises(DataError, match=message):
        mbmf.Episodes(**arrays)


@pytest.mark.parametrize("observations", [False, True])
def test_files_hold_everything(tmp_path: Path, observations: bool) -> None:
    episodes = make(observations=observations)
    path = tmp_path / "episodes.npz"
    episodes.save(path)
    assert same(mbmf.Episodes.load(path), episodes)
    first = path.read_bytes()
    episodes.save(path)
    assert path.read_bytes() == first
    assert os.listdir(tmp_path) == ["episodes.npz"]


def test_a_file_must_fit_the_task(tmp_path: Path) -> None:
    path = tmp_path / "episodes.npz"
    task = mbmf.load_task("hopper_forward")
    mbmf.collect_random(task, 2, 3).save(path)
    assert mbmf.Episodes.load(path, task).nsteps == 6
    with pytest.raises(DataError, match=f"{path}: task must be cheetah_forward, got hopper_forward"):
        mbmf.Episodes.load(path, mbmf.load_task("cheetah_forward"))
    make(task="hopper_forward").save(path)
    with pytest.raises(DataError, match=f"{path}: nstate must be 17, got 4"):
        mbmf.Episodes.load(path, task)


def corrupt(path: Path, how: str) -> None:
    whole = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not a file of arrays")
    elif how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "flipped":
        middle = whole.index(b"states.npy") + 300
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    else:
        arrays = dict(np.load(path))
        if how == "missing":
            del arrays["rewards"]
        elif how == "unknown":
            arrays["extra"] = np.zeros(1)
        elif how == "format":
            arrays["format"] = np.array("mbmf-episodes-9")
        elif how == "infinite":
            arrays["states"][0, 0, 0] = np.inf
        elif how == "pickle":
            arrays["task"] = np.array([{"a": 1}], dtype=object)
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "must be a whole file of Episodes.save"),
        ("text", "must be a whole file of Episodes.save"),
        ("truncated", "must be a whole file of Episodes.save"),
        ("flipped", "must be a whole file of Episodes.save"),
        ("missing", "must hold rewards"),
        ("unknown", "must hold nothing but episodes, got extra too"),
        ("format", "format must be mbmf-episodes-2, got mbmf-episodes-9"),
        ("infinite", r"states must be finite, got inf at \[0, 0, 0\]"),
        ("pickle", "must be a whole file of Episodes.save"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, how: str, message: str) -> None:
    path = tmp_path / "episodes.npz"
    make().save(path)
    corrupt(path, how)
    with pytest.raises(DataError, match=f"{path}: {message}"):
        mbmf.Episodes.load(path)
    with pytest.raises(FileNotFoundError):
        mbmf.Episodes.load(tmp_path / "nothing.npz")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"first")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"second")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]
    with (
        pytest.raises(FileNotFoundError, match=f"{tmp_path}/none/file'$"),
        atomic_write(tmp_path / "none" / "file"),
    ):
        pass
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path):
        pass


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    path = tmp_path / "episodes.npz"
    make().save(path)
    before = path.read_bytes()

    def fail() -> None:
        with atomic_write(path) as file:
            full = os.open("/dev/full", os.O_WRONLY)
            os.dup2(full, file.fileno())
            os.close(full)
            np.savez(file, states=np.zeros(100_000))

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["episodes.npz"]
