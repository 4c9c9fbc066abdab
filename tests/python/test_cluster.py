"""Samplers elsewhere, in processes and on a Ray cluster of two nodes: the bits of this process."""

from __future__ import annotations

import _thread
import contextlib
import dataclasses
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cluster_work
import mbmf
from mbmf.algorithms.iteration import validate
from mbmf.cluster.engine import Engine, in_order
from mbmf.cluster.machine import Machine
from mbmf.cluster.processes import Processes
from mbmf.cluster.ray_engine import RayEngine
from mbmf.cluster.sampler import Elsewhere, Here, Sampler
from mbmf.errors import ClusterError, CoreError
from small_mb_run import task_config

HEALTHY = [{"source": "qpos", "joint": "rootz", "above": 0.9}]
ENGINES = ("processes", "ray")


@pytest.fixture(scope="module")
def processes() -> Iterator[Engine]:
    with contextlib.closing(Processes(2)) as engine:
        yield engine


@pytest.fixture(scope="module")
def ray(ray_cluster: str) -> Iterator[Engine]:
    with contextlib.closing(RayEngine("auto")) as engine:
        assert (engine.slots, engine.threads) == (2, 1)
        yield engine


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    """A hopper that falls: its episodes are of many lengths."""
    return mbmf.load_task(task_config(healthy=HEALTHY, name="falling"))


@pytest.fixture(scope="module")
def model(task: mbmf.Task) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, hidden=(16,))
    model.fit(mbmf.collect_random(task, 3, 60), epochs=1)
    return model


def arrays_of(thing: Any) -> dict[str, Any]:
    """Everything that episodes or a batch hold, comparable."""
    values = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    return {
        name: [(a.dtype, a.shape, a.tobytes()) for a in (value if isinstance(value, tuple) else [value])]
        if isinstance(value, np.ndarray) or (isinstance(value, tuple) and name == "hidden")
        else value
        for name, value in values.items()
        if name != "path"
    }


Make = Callable[[Sampler, mbmf.Task, mbmf.DynamicsModel], Any]


def _planner(sampler: Sampler, task: mbmf.Task, model: mbmf.DynamicsModel) -> mbmf.Planner:
    return mbmf.make_planner(task, model, "random_shooting", 4, 20, seed=2, nthread=sampler.threads)


def _joined(batches: Iterator[mbmf.Episodes]) -> mbmf.Episodes:
    return mbmf.Episodes.concatenate(list(batches))


def _labels(sampler: Sampler, task: mbmf.Task, model: mbmf.DynamicsModel) -> bytes:
    policy = mbmf.GaussianPolicy(task, (8,), seed=3)
    batch = sampler.policy(task, policy, seed=6, episodes=5, max_episode_steps=9, keep_states=True)
    labels = sampler.labels(_planner(sampler, task, model), batch.to_episodes(task), first_episode=4)
    assert labels.any()
    return labels.tobytes()


MADE: dict[str, Make] = {
    "random": lambda s, t, m: arrays_of(_joined(s.random(t, 7, 20, seed=5, first_episode=3))),
    "mpc": lambda s, t, m: arrays_of(
        _joined(s.mpc(t, _planner(s, t, m), 3, 15, seed=5, first_episode=2, action_noise=0.1))
    ),
    "policy by steps": lambda s, t, m: arrays_of(
        s.policy(t, mbmf.GaussianPolicy(t, (8, 8), std=2.0), seed=1, steps=600, keep_hidden=True)
    ),
    "policy by episodes": lambda s, t, m: arrays_of(
        s.policy(t, mbmf.GaussianPolicy(t, (8,)), seed=1, episodes=5, std=0.1, kind="control")
    ),
    "labels": _labels,
    "validation": lambda s, t, m: s.call(validate, m, (mbmf.collect_random(t, 2, 40, seed=9), (1, 5))),
}


@pytest.mark.parametrize("what", MADE)
def test_the_bits_are_those_of_this_process(
    what: str, engine: Engine, task: mbmf.Task, model: mbmf.DynamicsModel
) -> None:
    make = MADE[what]
    assert make(Elsewhere(engine), task, model) == make(Here(2), task, model)


def test_a_batch_by_steps_is_of_many_lengths_and_pieces(task: mbmf.Task) -> None:
    """The case above is no trivial one."""
    policy = mbmf.GaussianPolicy(task, (8, 8), std=2.0)
    batch = Here(1).policy(task, policy, seed=1, steps=600)
    assert len(set(batch.lengths)) > 5
    assert batch.terminated.any()
    assert len(batch) > 12


def test_progress_is_told_as_pieces_arrive(engine: Engine, task: mbmf.Task) -> None:
    told: list[int] = []
    batches = list(Elsewhere(engine).random(task, 6, 10, seed=0, progress=told.append))
    assert len(batches) > 1
    assert told == list(np.cumsum([batch.nsteps for batch in batches]))


def test_what_a_piece_raises_comes_out(engine: Engine, task: mbmf.Task) -> None:
    with pytest.raises(ValueError, match="seed must be from 0"):
        list(Elsewhere(engine).random(task, 6, 10, seed=-1))
    # and the engine goes on
    assert len(_joined(Elsewhere(engine).random(task, 2, 10, seed=1))) == 2


def test_pieces_are_begun_a_few_ahead(processes: Engine) -> None:
    asked: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(50):
            asked.append(number)
            yield number

    found = in_order(processes, cluster_work.double, 3, pieces())
    assert [next(found) for _ in range(3)] == [0, 3, 6]
    assert len(asked) < 12
    found.close()
    assert next(in_order(processes, cluster_work.double, 2, [4])) == 8


def test_a_piece_may_be_none(processes: Engine) -> None:
    assert list(in_order(processes, cluster_work.same, 3, [None, 1, None])) == [None, 1, None]


def test_a_killed_worker_costs_its_piece_alone(engine: Engine, tmp_path: Path) -> None:
    assert list(in_order(engine, cluster_work.die_once, str(tmp_path), range(6))) == list(range(6))
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_piece_that_always_dies_is_given_up(processes: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbmf.cluster.processes.RETRIES", 1)
    with pytest.raises(ClusterError, match=r"must end a piece of work, got 2 that died, .* exit code -9"):
        next(in_order(processes, cluster_work.die, None, [0]))


def test_a_defect_says_where_it_is(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError, match="a defect") as caught:
        next(in_order(engine, cluster_work.fail, None, [0]))
    assert "in fail" in "".join(caught.value.__notes__)


def test_cancelling_interrupts_what_runs(processes: Engine) -> None:
    jobs = [processes.start(cluster_work.sleep, processes.keep(None), 60) for _ in range(4)]
    assert processes.wait(jobs, timeout=0.5) == []
    begin = time.monotonic()
    processes.cancel(jobs)
    assert time.monotonic() - begin < 10
    with pytest.raises(KeyboardInterrupt):
        processes.take(jobs[0])
    assert list(in_order(processes, cluster_work.double, 2, [1, 2])) == [2, 4]


def test_a_process_that_was_cancelled_in_an_import_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(
        "import pathlib, time\n"
        "begun = pathlib.Path(__file__).with_name('begun')\n"
        "if not begun.exists():\n"
        "    begun.touch()\n"
        "    time.sleep(60)\n"
    )
    with contextlib.closing(Processes(1)) as engine:
        [first] = in_order(engine, cluster_work.own_number, None, [0.0])
        job = engine.start(cluster_work.own_number, engine.keep(None), 60.0)
        assert engine.wait([job], timeout=0.5) == []
        engine.cancel([job])
        assert list(in_order(engine, cluster_work.own_number, None, [0.0])) == [first]
        job = engine.start(cluster_work.import_from, engine.keep(str(tmp_path)), "half")
        while not (tmp_path / "begun").exists():
            time.sleep(0.05)
        begin = time.monotonic()
        engine.cancel([job])
        assert time.monotonic() - begin < 10
        with pytest.raises(KeyboardInterrupt):
            engine.take(job)
        [second] = in_order(engine, cluster_work.import_from, str(tmp_path), ["half"])
        assert second != first


def test_ctrl_c_ends_the_work_on_a_cluster(ray_cluster: str) -> None:
    task = mbmf.load_task(task_config())
    model = mbmf.DynamicsModel(task, hidden=(16,))
    model.fit(mbmf.collect_random(task, 2, 60), epochs=1)
    with contextlib.closing(RayEngine("auto")) as engine:
        sampler = Elsewhere(engine)
        planner = mbmf.make_planner(task, model, "random_shooting", 20, 500, seed=2, nthread=1)
        list(sampler.mpc(task, planner, 2, 2, seed=0))  # the workers are there
        pressed: list[float] = []
        press = threading.Timer(1.0, lambda: (pressed.append(time.monotonic()), _thread.interrupt_main()))
        press.start()
        with pytest.raises(KeyboardInterrupt):
            # plans for an hour on both processors
            list(sampler.mpc(task, planner, 4, 100_000, seed=0))
        heard = time.monotonic() - pressed[0]
        # both are free again
        assert list(in_order(engine, cluster_work.double, 2, range(4))) == [0, 2, 4, 6]
        ended = time.monotonic() - pressed[0]
    assert heard < 1.0
    assert ended < 5.0


def test_a_full_cluster_is_waited_for(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr("mbmf.cluster.ray_engine.SAY_SECONDS", 0.3)
    notes: list[str] = []
    hog = ray.remote(cluster_work.mark_and_sleep).options(num_cpus=1)
    jobs = [hog.remote(str(tmp_path), 120, 1) for _ in range(2)]
    # a worker that is slow to begin gives its processor back once more: both must have begun
    while len(list(tmp_path.iterdir())) < 2 or ray.available_resources().get("CPU", 0):
        time.sleep(0.05)
    with monkeypatch.context() as patch:
        patch.setattr("mbmf.cluster.ray_engine.FULL_SECONDS", 0.6)
        with pytest.raises(ClusterError, match=r"1 free processor on a node within 0.01 minutes, got none"):
            RayEngine("auto", note=notes.append)
    assert notes == [
        "cluster: 2 nodes, 2 processors, 0 of them free: 2 tasks at a time",
        "cluster is full (processors: 2, taken: 2): waiting for 1 free processor on a node, "
        "at most 0.01 minutes",
    ]

    def note(text: str) -> None:
        notes.append(text)
        if "is full" in text:
            ray.cancel(jobs[0], force=True)

    engine = RayEngine("auto", note=note)
    assert notes[-1].endswith("waiting for 1 free processor on a node, at most 30 minutes")
    ray.cancel(jobs[1], force=True)
    assert list(in_order(engine, cluster_work.double, 2, range(3))) == [0, 2, 4]


def test_a_cluster_without_nodes_is_given_up(ray: RayEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr("mbmf.cluster.ray_engine.SAY_SECONDS", 0.1)
    monkeypatch.setattr("mbmf.cluster.ray_engine.LOST_SECONDS", 0.6)
    monkeypatch.setattr(ray, "_nodes", lambda: ([], []))
    monkeypatch.setattr(ray, "_note", notes.append)
    with pytest.raises(ClusterError, match=r"must have a node with 1 processor, got none for 0.01 min"):
        list(in_order(ray, cluster_work.sleep, None, [2, 2]))
    assert notes == ["cluster has no node with 1 processor any more: waiting for one, at most 0.01 minutes"]


# what is refused


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_somebody_else_who_listens(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first case he says nothing, in the second he speaks another language."""
    monkeypatch.setattr("mbmf.cluster.ray_engine.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def answer() -> None:
            with server.accept()[0] as there:
                if scheme:
                    there.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                there.recv(1000)
                time.sleep(1.0)

        threading.Thread(target=answer, daemon=True).start()
        reason = "not a Ray cluster, it says 'HTTP/1.1 '" if scheme else "timed out"
        with pytest.raises(
            ClusterError, match=f"answers within 0.5 s, got {scheme}127.0.0.1:{port}: {reason}"
        ):
            RayEngine(f"{scheme}127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere", "address must be auto, local, ray://host:port or host:port, got 'nowhere'"),
        ("ray://here", "address must be auto, local, ray://host:port or host:port, got 'ray://here'"),
        ("ray://127.0.0.1:1", r"answers within 10 s, got ray://127.0.0.1:1: Connection refused"),
        ("127.0.0.1:1", r"answers within 10 s, got 127.0.0.1:1: Connection refused"),
    ],
)
def test_addresses_without_a_cluster(address: str, message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        RayEngine(address)


def test_more_threads_than_a_node_has(ray_cluster: str) -> None:
    with pytest.raises(ClusterError, match="nthread must be at most 1, the processors of the cluster's larg"):
        RayEngine("auto", threads=2)


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r'Ray must be installed .* pip install "mbmf\[ray\]"'):
        RayEngine("local")


def test_other_machines_are_refused_or_taken(
    ray_cluster: str, task: mbmf.Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(Machine.here(), isa="sse9", libraries="mujoco 9.9.9")
    monkeypatch.setattr(Machine, "here", classmethod(lambda cls: other))
    with pytest.raises(ClusterError, match=r"node .* must be a machine like this one .* in place of sse9"):
        RayEngine("auto")
    notes: list[str] = []
    engine = RayEngine("auto", any_machine=True, note=notes.append)
    assert any("is another machine, its results are other bits: isa" in note for note in notes)
    assert len(_joined(Elsewhere(engine).random(task, 2, 10, seed=1))) == 2
    # a machine that joins later is asked by its tasks
    engine._wanted = other
    with pytest.raises(ClusterError, match=r"worker on .* must be a machine like this one"):
        list(Elsewhere(engine).random(task, 2, 10, seed=1))


def test_batches_are_joined_in_order(task: mbmf.Task) -> None:
    batch = Here(1).policy(task, mbmf.GaussianPolicy(task, (8,)), seed=1, episodes=3)
    assert (len(batch.first(0)), batch.first(0).nsteps) == (0, 0)
    assert len(batch.first(2)) == 2
    with pytest.raises(ValueError, match="batches must follow each other, got one from episode 0 after"):
        mbmf.PolicyBatch.concatenate([batch, batch])
    with pytest.raises(ValueError, match="batches must be one or more, got none"):
        mbmf.PolicyBatch.concatenate([])


def test_a_robot_that_diverges_at_once_is_given_up(processes: Engine, task: mbmf.Task) -> None:
    """As `mbmf.collect_policy` does it, after a hundred episodes in a row without a step."""
    policy = mbmf.GaussianPolicy(task, (8,))
    empty = Here(1).policy(task, policy, seed=1, episodes=60)
    empty = dataclasses.replace(
        empty.first(0),
        **{
            name: np.zeros((60, *getattr(empty, name).shape[1:]), getattr(empty, name).dtype)
            for name in ("lengths", "terminated", "truncated", "diverged", "final_observations")
        },
    )

    class Diverging:
        slots, threads, sees_files = 1, 1, True

        def keep(self, thing: Any) -> Any: ...

        def start(self, *piece: Any) -> Any: ...

        def wait(self, jobs: Any, timeout: Any = None) -> Any:
            return jobs

        def take(self, job: Any) -> Any:
            return empty

        def cancel(self, jobs: Any) -> None: ...

        def close(self) -> None: ...

    with pytest.raises(CoreError, match="in the first step: 100 episodes in a row have no steps"):
        Elsewhere(Diverging()).policy(task, policy, seed=1, steps=50)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="threads must be from 1 to 1024, got 0"):
        Processes(threads=0)
    with pytest.raises(ValueError, match="slots must be from 1 to 1024, got 0"):
        Processes(0)
