"""Ctrl-C in long plans; objects with threads in forked children; one planner in two threads."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mbmf
import objects_table
from mbmf.cli import main as cli
from small_mb_run import make_run, task_config
from test_planner import make_model, start_state

_LONG = """
import sys, time, signal, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
signal.signal(signal.SIGINT, signal.default_int_handler)
import mbmf, numpy as np
from test_planner import make_model, start_state
task = mbmf.load_task("cheetah_forward")
model, _ = make_model(task, hidden=400, scale=1e-6)
state = start_state(task)
planner = mbmf.make_planner(task, model, sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
planner.plan(state, 0, 0, candidates=50)
call = sys.argv[5]
if call not in ("validation_error", "predict_members", "sample"):
    print("go", flush=True)
try:
    if call == "plan":
        planner.plan(state)
    elif call == "plan_batch":
        planner.plan_batch(np.repeat(state[None], 500, axis=0))
    elif call == "costs":
        planner.core.costs(state, 0, 0)
    elif call in ("predict_members", "sample"):
        model, _ = make_model(task, hidden=20_000, scale=1e-8)  # one call takes many seconds
        states = np.repeat(state[None], 500_000 if call == "predict_members" else 5_000, axis=0)
        ahead = () if call == "predict_members" else (100,)
        actions = np.zeros((len(states), *ahead, task.naction), np.float32)
        print("go", flush=True)
        getattr(model, call)(states, actions)
    elif call in ("predict", "open_loop"):
        ahead = () if call == "predict" else (100,)
        n = 1_000_000 if call == "predict" else 10_000
        states = np.repeat(state[None].astype(np.float32), n, axis=0)
        actions = np.zeros((n, *ahead, task.naction), np.float32)
        for _ in range(100):
            getattr(model, call)(states, actions)
    elif call == "validation_error":
        learned = mbmf.DynamicsModel(task, hidden=(400, 400))
        episodes = mbmf.collect_random(task, 40, 300)
        learned.fit(episodes, epochs=1)
        print("go", flush=True)
        for _ in range(1000):
            learned.validation_error(episodes, (100,))
    else:
        mbmf.collect_mpc(task, planner, 200, 100)
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    planner.plan(state, 0, 0, candidates=50)
    print("usable", flush=True)
"""


@pytest.mark.parametrize(
    ("search", "horizon", "candidates", "call"),
    [
        ("random_shooting", 20, 100_000_000, "plan"),
        ("random_shooting", 10_000, 100_000, "plan"),
        ("mppi", 50, 1_000_000, "plan"),
        ("icem", 50, 200_000, "plan_batch"),
        ("random_shooting", 20, 50_000, "collect_mpc"),
        ("random_shooting", 5, 100, "predict"),
        ("random_shooting", 5, 100, "open_loop"),
        ("random_shooting", 100, 2_000_000, "costs"),
        ("random_shooting", 5, 100, "predict_members"),
        ("random_shooting", 5, 100, "sample"),
        ("random_shooting", 5, 100, "validation_error"),
    ],
)
def test_ctrl_c_is_heard(search: str, horizon: int, candidates: int, call: str) -> None:
    arguments = [os.path.dirname(__file__), search, str(horizon), str(candidates), call]
    process = subprocess.Popen(
        [sys.executable, "-c", _LONG, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(0.7)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    stopped, usable = out.split()
    assert usable == "usable"
    # 0.2 s on an idle machine; what a machine that is busy with other tests adds is not ours
    assert float(stopped) - pressed < 2


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.13])
def test_daemon_threads_within_calls_when_python_ends(seconds: float) -> None:
    """Each of them ended the process by SIGABRT, every time."""
    kinds = ["plan", "long plan", "cost", "search", "predict", "mean", "step", "fit"]
    kinds += ["collect_random", "collect_mpc", "collect_policy"]
    program = Path(__file__).with_name("daemon_threads.py")
    found = subprocess.run(
        [sys.executable, program, str(seconds), *kinds],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (found.returncode, found.stderr) == (7, "")


def test_one_planner_in_two_threads_works_or_raises() -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    state = start_state(task)
    refusals: list[str] = []
    for nthread in (1, 2):
        planner = mbmf.ICEM(task, model, horizon=10, candidates=500, nthread=nthread)
        want = [planner.plan(state, 0, i).actions.tobytes() for i in range(100)]

        def attempt(i: int, planner: mbmf.Planner = planner) -> bytes | None:
            try:
                return planner.plan(state, 0, i).actions.tobytes()
            except mbmf.CoreError as error:
                refusals.append(str(error))
                return None

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = list(pool.map(attempt, range(100)))
        assert any(found)
        assert all(f is None or f == w for f, w in zip(found, want, strict=True))
    assert all("a planner must be used by one thread at a time" in text for text in refusals)


def in_child(action: Callable[[], object]) -> int:
    """What a forked child that does this ends with; -9 if it hangs."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except mbmf.CoreError as error:
            os._exit(3 if "after a fork" in str(error) else 4)
        except BaseException:
            os._exit(5)
    for _ in range(100):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -9


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_a_forked_child_raises_and_lets_go() -> None:
    task = mbmf.load_task("swimmer_forward")
    model, _ = make_model(task)
    state, row = start_state(task), mbmf.Simulator(task, nsim=1, nthread=1).get_state()[0]
    held = {
        "planner": mbmf.RandomShooting(task, model, horizon=5, candidates=100, nthread=3),
        "through": mbmf.RandomShooting(task, mbmf.SimulatorModel(task), horizon=3, candidates=20, nthread=2),
        "simulator": mbmf.Simulator(task, nsim=8, nthread=2),
        "controller": mbmf.Controller(mbmf.ICEM(task, model, horizon=5, nthread=2), period=0.05),
    }
    held["planner"].plan(state)
    held["through"].plan(row)
    held["simulator"].step(np.zeros((8, 2)))
    held["controller"].start()
    try:
        assert in_child(lambda: held["planner"].plan(state)) == 3
        assert in_child(lambda: held["through"].plan(row)) == 3
        assert in_child(lambda: held["simulator"].step(np.zeros((8, 2)))) == 3
        assert in_child(lambda: held["controller"].stop()) == 0
        assert in_child(held.clear) == 0
        assert in_child(lambda: mbmf.collect_random(task, 2, 5, nthread=2)) == 0
        held["planner"].plan(state)
        held["simulator"].step(np.zeros((8, 2)))
    finally:
        held["controller"].stop()


@pytest.mark.parametrize(
    ("name", "threads", "child"),
    [("Renderer", "same or raises", "raises"), ("Controller, running", "same", "raises")],
)
def test_objects_in_threads_and_children(name: str, threads: str, child: str) -> None:
    """A renderer hung in a forked child; a controller gave it the last action for ever."""
    assert objects_table.cells(name, 10) == [threads, child]


def test_the_table_of_objects_has_no_crash() -> None:
    """docs/threads_and_forks.md is what `objects_table.py` wrote: no cell is in capitals."""
    page = (Path(__file__).parents[2] / "docs" / "threads_and_forks.md").read_text()
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == list(objects_table.OBJECTS)
    allowed = {"same", "same or raises", "works", "raises"}
    assert {cell.strip() for row in rows for cell in row[1:]} <= allowed


def _terminated_while_it_writes(words: list[str]) -> int:
    """The status of a command in a forked child, to which SIGTERM comes at its first write to the disk."""
    child = os.fork()
    if child == 0:
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGTERM)
        try:
            os._exit(cli.main(words))
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_sigterm_ends_a_command_as_ctrl_c_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It ended the process at once: an export left its half behind."""
    runs = tmp_path / "runs"
    make_run(runs / "run_1", task_config())
    out = tmp_path / "out"
    assert _terminated_while_it_writes(["export", f"--runs_dir={runs}", "--run_num=1", f"--out={out}"]) == 143
    assert "mbmf: ended by SIGTERM" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert _terminated_while_it_writes(["mb", "--yaml_file=swimmer_forward", f"--runs_dir={runs}"]) == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_forked_child_of_a_command_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    receive, send = os.pipe()

    def run() -> None:
        child = os.fork()
        if child == 0:
            os.write(send, b"x")  # Python forgets what comes while it forks
            time.sleep(60)
            os._exit(0)
        os.read(receive, 1)
        os.kill(child, signal.SIGTERM)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    monkeypatch.setattr("mbmf.cli.main._prepared", lambda command, words: run)
    assert cli.main(["list"]) == 0
    assert ended == [-signal.SIGTERM]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_that_comes_out_as_another_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, status: int
) -> None:
    """MuJoCo's modules, imported at that moment: "ImportError: initialization failed", and a traceback."""

    def run() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    monkeypatch.setattr("mbmf.cli.main._prepared", lambda command, words: run)
    assert cli.main(["list"]) == status
    assert "initialization" not in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("words", [["-m", "mbmf.cli.main", "list"], ["mbmf", "list"], ["-c", "import mbmf"]])
def test_ctrl_c_while_the_command_imports(words: list[str], tmp_path: Path) -> None:
    """It was a traceback; one out of NumPy even said that NumPy was badly installed."""
    (tmp_path / "numpy.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    )
    (tmp_path / "mbmf").write_text("from mbmf.cli.main import main\nmain()\n")
    paths = os.pathsep.join([str(tmp_path), str(Path(mbmf.__file__).parents[1])])
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if words[0] == "-c":  # programs that only import it have their own way
        assert "KeyboardInterrupt" in ended.stderr
    else:
        assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
