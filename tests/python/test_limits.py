"""Odd options and damaged texts: a message and exit 2, before anything is made."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mbmf
from mbmf.cli.main import main
from mbmf.errors import ConfigError, DataError
from mbmf.runs.run import Run
from mbmf.tasks.paths import MAX_POINTS, read_waypoints

FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["mb", "--yaml_file=swimmer_forward", "--nthread=5000"], "--nthread must be at most 1024, got 5000"),
        (["mb", "--yaml_file=swimmer_forward", f"--seed={2**64}"], "--seed must be at most 1844674407370955"),
        (["mb", "--yaml_file=swimmer_forward", f"--run_num={10**300}"], "--run_num must be at most 21474836"),
        (["mf", "--which_agent=swimmer", "--num_workers_trpo=5000"], "--num_workers_trpo must be at most 10"),
        (["mbmf", "--which_agent=swimmer", "--num_workers_trpo=5000"], "--num_workers_trpo must be at most "),
        (["mbmf", "--which_agent=swimmer", "--nthread=5000"], "--nthread must be at most 1024, got 5000"),
        (["reproduce", "swimmer", "--nthread=5000"], "--nthread must be at most 1024, got 5000"),
        (["reproduce", "swimmer", "--seeds", str(10**300)], "seeds must be at most 2147483647"),
        (["video", "--run_num=1", "--nthread=5000"], "--nthread must be at most 1024, got 5000"),
        (["bench", "control", "--priority=1000000000000"], "--priority must be from 0 to 99, got 1000000000"),
        (["bench", "control", "--nthread=5000"], "--nthread must be at most 1024, got 5000"),
        (["bench", "control", "--plans=0"], "--plans must be from 1 to 10000000, got 0"),
    ],
)
def test_odd_options(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_drive_is_not_longer_than_memory(small_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (["--hz=100"], ["--hz=1000"]):
        assert main(["control", "--run_num=1", "--seconds=999999", f"--runs_dir={small_runs}", *more]) == 2
        assert "--seconds must be of at most 10000000 control steps, got 999999" in capsys.readouterr().err


def test_mujoco_writes_no_log_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    simulator = mbmf.Simulator(mbmf.load_task("swimmer_forward"))
    row = simulator.get_state()
    row[:] = 1e12
    simulator.set_state(row)
    assert abs(simulator.mujoco_data(0).qvel).max() == 1e12
    assert os.listdir(tmp_path) == []


def test_a_long_path_starts_in_time(tmp_path: Path) -> None:
    """100,000 points cost 20 s at each start."""
    file = tmp_path / "long.csv"
    file.write_text("".join(f"{i},{i % 7}\n" for i in range(20_000)))
    begin = time.process_time()
    task = mbmf.load_task("swimmer_trajfollow", path=file)
    with Run.create(tmp_path / "run", {"task": task.to_data()}) as run:
        assert len(run.config()["task"]["path"]["paths"]["long"]["waypoints"]) == 20_000
    assert time.process_time() - begin < 6


CELLS = [
    "0",
    "1",
    "-2.5",
    "1e400",
    "nan",
    "inf",
    "x",
    '"',
    '""',
    ",",
    ";",
    "\n",
    "\r",
    "#",
    " ",
    "\0",
    "\ufeff",
    "é",
    "1,2\n",
]


@FUZZ
@given(st.lists(st.sampled_from(CELLS), max_size=30).map("".join) | st.binary(max_size=30))
def test_any_csv_is_a_path_or_an_error(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "path.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        assert read_waypoints(file).shape[1] == 2
    except ConfigError as error:
        assert str(error).startswith(str(file))  # noqa: PT017


def test_csv_files_that_have_no_end(tmp_path: Path) -> None:
    file = tmp_path / "path.csv"
    file.write_text("".join(f"{i},0\n" for i in range(MAX_POINTS + 10)))
    with pytest.raises(
        ConfigError, match=r"path\.csv must be 2 to 100000 waypoints, got more, in row 100001"
    ):
        read_waypoints(file)
    file.write_text("0,0\n" + "1," * 1_000_000 + "\n")
    with pytest.raises(ConfigError, match=r"path\.csv: row 2 must be two finite numbers x,y"):
        read_waypoints(file)
    file.unlink()
    file.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"path\.csv: must be a file, got a device or a pipe"):
        read_waypoints(file)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigError, match=r"path\.csv: must be a file, got a device or a pipe"):
        read_waypoints(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    "reward_mean",
    "returns",
    "steps_total",
    "tracking",
    "validation_error",
    "diverged",
    "rollouts",
    "path",
]
RECORDS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4)


@FUZZ
@given(lines=st.lists(RECORDS, max_size=3), junk=st.binary(max_size=10), at=st.floats(0, 1))
def test_any_metrics_are_records_or_an_error(
    tmp_path: Path, lines: list[dict[str, object]], junk: bytes, at: float
) -> None:
    texts = [json.dumps({"iteration": i, **line}) + "\n" for i, line in enumerate(lines, start=1)]
    data = "".join(texts).encode()
    place = int(at * len(data))
    run = Run(tmp_path)
    for content in (data, data[:place] + junk + data[place:], junk):
        (tmp_path / "metrics.jsonl").write_bytes(content)
        (tmp_path / "summary.json").write_bytes(content)
        (tmp_path / "config.yaml").write_bytes(content)
        (tmp_path / "files.json").write_bytes(content)
        for call, name in (
            (run.metrics, "metrics.jsonl"),
            (run.summary, "summary.json"),
            (run.config, "config.yaml"),
            (run.check_files, ""),
        ):
            try:
                call()
            except DataError as error:
                assert str(error).startswith(str(tmp_path / name))  # noqa: PT017
    for name in ("metrics.jsonl", "summary.json", "config.yaml", "files.json"):
        with contextlib.suppress(FileNotFoundError):
            (tmp_path / name).unlink()
