"""An engine of a Ray cluster: each piece a task, with the processors that its threads need."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mbmf.arguments import MAX_THREADS, whole_number
from mbmf.cluster.engine import RETRIES, Outcome, Work, perform
from mbmf.cluster.machine import Machine
from mbmf.errors import ClusterError
from mbmf.words import counted, show

_CLIENT = re.compile(r"ray://(?P<host>[^:/]+):(?P<port>\d{1,5})/?")
_ADDRESS = re.compile(r"(?P<host>[^:/]+):(?P<port>\d{1,5})")
_COLOUR = re.compile(r"\x1b\[\d*m")
_FORMS = "auto, local, ray://host:port or host:port"

#: seconds until an address is taken to be unreachable, and until a node must have answered what it is
CONNECT_SECONDS, PROBE_SECONDS = 10.0, 120.0
#: seconds that a full cluster has to begin a task, and one without nodes to get one; and until that is said
FULL_SECONDS, LOST_SECONDS, SAY_SECONDS = 1800.0, 300.0, 5.0
# Ctrl-C is heard between looks at what is over: inside Ray it would be after a second
_LOOK_SECONDS = 0.1
# what HTTP/2, which Ray's head speaks, begins with: the client's preface, and no settings
_PREFACE, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 4

# things that a worker keeps: a planner or a policy each, with its task
_MOST_KEPT = 4
_kept: OrderedDict[str, Any] = OrderedDict()


@dataclass(frozen=True)
class _Kept:
    ref: Any


class RayEngine:
    """Pieces as tasks of a Ray cluster (an `Engine`).

    A task asks Ray for as many processors as it has threads. Where a worker or a node dies, Ray runs its
    tasks elsewhere, each up to `mbmf.cluster.engine.RETRIES` times. Before the first piece every node is
    asked what it is, and later each task looks at its own worker: machines may join at any time. A full
    cluster is waited for, `FULL_SECONDS` at most, and so is one that loses all nodes, `LOST_SECONDS`.

    Args:
        address: ``auto``, the cluster that this machine is part of; ``local``, one that is started here and
            ends with the engine; ``ray://host:port``, one elsewhere (Ray Client); ``host:port``, by its head.
        threads: of a piece, 1 to 1024.
        any_machine: take workers with other instruction sets or versions, whose results are other bits.
        note: is told, in a line each, what the cluster is, and what is odd.

    Attributes:
        slots: tasks that fit the processors of the cluster as it was at the beginning.

    Raises:
        ClusterError: Ray is not installed, no cluster answers within `CONNECT_SECONDS`, a node is another
            machine than this one, none has so many processors, or none is free in time.
        ValueError: an argument is out of range.

    Example:
        >>> with contextlib.closing(RayEngine("local")) as engine:
        ...     batches = list(in_order(engine, collect_some, planner, [(0, 5), (5, 5)]))
    """

    sees_files = False

    def __init__(
        self,
        address: str,
        threads: int = 1,
        *,
        any_machine: bool = False,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.threads = whole_number("threads", threads, 1, MAX_THREADS)
        _check_address(address)
        self._ray, self._note = _import_ray(), note
        self._mine = _connect(self._ray, address)
        try:
            nodes, sizes = self._nodes()
            self._set_slots(sizes)
            free = int(self._ray.available_resources().get("CPU", 0))
            note(
                f"cluster: {counted(len(nodes), 'node')}, {counted(sum(sizes), 'processor')}, {free} of them "
                f"free: {counted(self.slots, 'task')} at a time"
            )
            self._wanted = None if any_machine else Machine.here()
            self._task = self._ray.remote(_perform).options(
                num_cpus=self.threads, max_retries=RETRIES, retry_exceptions=False
            )
            there = self._probe(nodes)
            self._set_slots(
                [size for node, size in zip(nodes, sizes, strict=True) if node["NodeID"] in there]
            )
            self._await_room(sum(sizes))
        except BaseException:
            self.close()
            raise

    def keep(self, thing: Any) -> _Kept:
        with self._said():
            # as bytes: what comes out of Ray's store as arrays may not be written
            return _Kept(self._ray.put(self._ray.cloudpickle.dumps(thing)))

    def start(self, function: Work, kept: _Kept, piece: Any) -> Any:
        # in a list Ray sends the reference; the worker may have what it stands for
        return self._task.remote(self._wanted, function, [kept.ref], piece, self.threads)

    def wait(self, jobs: Sequence[Any], timeout: float | None = None) -> list[Any]:
        if not jobs:
            return []
        begin = looked = time.monotonic()
        lost: float | None = None  # since when there is no node for a task
        while True:
            left = _LOOK_SECONDS
            if timeout is not None:
                left = min(left, max(0.0, begin + timeout - time.monotonic()))
            with self._said():
                over, running = self._ray.wait(list(jobs), num_returns=1, timeout=left)
                # others that are over, too
                more = self._ray.wait(running, num_returns=len(running), timeout=0)[0] if running else []
            now = time.monotonic()
            if over or (timeout is not None and now >= begin + timeout):
                return [*over, *more]
            if now > looked + SAY_SECONDS:
                looked, lost = now, self._lost(lost)

    def take(self, job: Any) -> Any:
        with self._said():
            outcome = self._ray.get(job)
        assert isinstance(outcome, Outcome)
        return outcome.unwrapped()

    def cancel(self, jobs: Iterable[Any]) -> None:
        for job in jobs:
            with contextlib.suppress(Exception):
                self._ray.cancel(job)

    def close(self) -> None:
        if self._mine:
            self._ray.shutdown()
            self._mine = False

    def _nodes(self) -> tuple[list[Any], list[int]]:
        """The nodes that are there, and how many processors each has."""
        with self._said():
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return nodes, [int(node["Resources"].get("CPU", 0)) for node in nodes]

    def _set_slots(self, sizes: Sequence[int]) -> None:
        """Raises ClusterError if no node has enough processors."""
        self.slots = sum(size // self.threads for size in sizes)
        if not self.slots:
            raise ClusterError(
                f"nthread must be at most {max(sizes, default=0)}, the processors of the cluster's "
                f"largest node, got {self.threads}"
            )

    def _await_room(self, processors: int) -> None:
        """Waits until a task could begin. Raises ClusterError if the cluster stays full."""
        job = self._ray.remote(_nothing).options(num_cpus=self.threads).remote()
        try:
            if self.wait([job], SAY_SECONDS):
                return
            wanted = counted(self.threads, "free processor")
            with self._said():
                taken = processors - int(self._ray.available_resources().get("CPU", 0))
            self._note(
                f"cluster is full (processors: {processors}, taken: {taken}): waiting for {wanted} on a "
                f"node, at most {FULL_SECONDS / 60:g} minutes"
            )
            if not self.wait([job], FULL_SECONDS):
                raise ClusterError(
                    f"cluster must have {wanted} on a node within {FULL_SECONDS / 60:g} minutes, got none"
                )
        except BaseException:
            self.cancel([job])
            raise

    def _lost(self, since: float | None) -> float | None:
        """Since when no node has room for a task, None: one has. Raises ClusterError if that is long ago."""
        if max(self._nodes()[1], default=0) >= self.threads:
            return None
        now = time.monotonic()
        if since is None:
            self._note(
                f"cluster has no node with {counted(self.threads, 'processor')} any more: waiting for one, "
                f"at most {LOST_SECONDS / 60:g} minutes"
            )
        elif now > since + LOST_SECONDS:
            raise ClusterError(
                f"cluster must have a node with {counted(self.threads, 'processor')}, got none for "
                f"{LOST_SECONDS / 60:g} minutes"
            )
        return now if since is None else since

    def _probe(self, nodes: Sequence[Any]) -> set[str]:
        """Asks every node what it is; the ids of those that are there.

        Raises ClusterError if one is another machine, unless any will do: then that is noted.
        """
        from ray.exceptions import NodeDiedError, TaskUnschedulableError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        ask, there = self._ray.remote(_machine), set()
        asked = {}
        for node in nodes:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[ask.options(num_cpus=0, scheduling_strategy=here).remote()] = node
        with self._said():
            over, silent = self._ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS)
        if silent:
            names = ", ".join(asked[each]["NodeManagerAddress"] for each in silent)
            raise ClusterError(
                f"nodes must answer within {PROBE_SECONDS:g} s, got no answer of {names} (are they full?)"
            )
        for each in over:
            name = f"node {asked[each]['NodeManagerAddress']}"
            try:
                found = self._ray.get(each)
            except (NodeDiedError, TaskUnschedulableError):
                self._note(f"{name} is gone")
                continue
            except Exception as error:  # Ray has many for a package that cannot be imported
                mine = Machine.here().mbmf
                raise ClusterError(
                    f"{name} must have mbmf {mine} installed, got: {_first_line(error)}"
                ) from None
            there.add(asked[each]["NodeID"])
            difference = found.differences(Machine.here())
            if difference and self._wanted is None:
                self._note(f"{name} is another machine, its results are other bits: {difference}")
            elif difference:
                raise ClusterError(_refusal(name, difference))
        return there

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Ray's errors as ours."""
        from ray import exceptions

        try:
            yield
        except exceptions.ObjectStoreFullError as error:
            raise ClusterError(
                "object store must have room for what is sent, got a full one: start Ray with more, "
                f"--object-store-memory=<bytes> ({_first_line(error)})"
            ) from None
        except exceptions.OutOfDiskError as error:
            raise ClusterError(
                f"nodes must have room on their disks for Ray's objects, got: {_first_line(error)}"
            ) from None
        except exceptions.TaskCancelledError:
            raise KeyboardInterrupt from None
        except exceptions.RayError as error:
            raise ClusterError(
                f"cluster must end a piece of work, got {RETRIES + 1} tries of {type(error).__name__}: "
                f"{_first_line(error)}"
            ) from None
        except ConnectionError as error:
            raise ClusterError(f"cluster must stay in reach, got: {_first_line(error)}") from None


def _check_address(address: str) -> None:
    """Raises ClusterError for what is no address, and for one of Ray Client where nobody listens."""
    found = _CLIENT.fullmatch(address) or _ADDRESS.fullmatch(address)
    if address in ("auto", "local"):
        return
    if found is None or not 0 < int(found["port"]) < 65536:
        raise ClusterError(f"address must be {_FORMS}, got {show(address)}")
    try:
        with socket.create_connection((found["host"], int(found["port"])), CONNECT_SECONDS) as there:
            _check_speech(there)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ClusterError(
            f"address must be of a Ray cluster that answers within {CONNECT_SECONDS:g} s, got {address}: "
            f"{reason}"
        ) from None


def _check_speech(there: socket.socket) -> None:
    """Raises OSError for somebody who does not speak HTTP/2, with whom Ray would wait for minutes."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return
    there.settimeout(CONNECT_SECONDS)
    there.sendall(_PREFACE)
    with there.makefile("rb") as reader:
        frame = reader.read(9)
    if frame[3:4] != bytes([_SETTINGS]):
        raise OSError(f"not a Ray cluster, it says {show(frame.decode('ascii', 'replace'))}")


def _import_ray() -> Any:
    """Ray. Raises ClusterError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            f'Ray must be installed to work on a cluster, got none ({error}): pip install "mbmf[ray]"'
        ) from None
    return ray


def _connect(ray: Any, address: str) -> bool:
    """Joins the cluster; whether this engine is to leave it. One that the program is in already is taken."""
    if ray.is_initialized():
        if address != "auto":
            raise ClusterError(f"address must be auto in a program that has joined a cluster, got {address}")
        return False
    settings: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    if address == "local":
        settings["include_dashboard"] = False
    forced = os.environ.get("MBMF_FORCE_ISA")
    if forced:
        settings["runtime_env"] = {"env_vars": {"MBMF_FORCE_ISA": forced}}
    try:
        ray.init(address=address, **settings)
    except Exception as error:
        # whatever it is, to the user it is a cluster that is not there
        hint = " (`ray start --head` starts one here)" if address == "auto" else ""
        raise ClusterError(
            f"address must be of a Ray cluster of this version ({ray.__version__}) and of this Python, "
            f"got {address}: {_first_line(error)}{hint}"
        ) from None
    return True


def _first_line(error: BaseException) -> str:
    lines = [_COLOUR.sub("", line).strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _refusal(who: str, difference: str) -> str:
    return (
        f"{who} must be a machine like this one for the same bits, got {difference}; MBMF_FORCE_ISA=avx2 (or "
        "portable) here makes instruction sets agree, --any_machine takes it as it is"
    )


# what runs in workers


def _machine() -> Machine:
    """What the worker's machine is."""
    return Machine.here()


def _nothing() -> None:
    """What a task is begun for, to see that one can be."""


def _perform(wanted: Machine | None, function: Work, boxed: list[Any], piece: Any, threads: int) -> Outcome:
    """A task: a piece on a machine that is as ``wanted``."""
    if wanted is not None and (difference := Machine.here().differences(wanted)):
        return Outcome(error=ClusterError(_refusal(f"worker on {socket.gethostname()}", difference)))
    return perform(function, lambda: _fetched(boxed[0]), piece, threads)


def _fetched(ref: Any) -> Any:
    """What a reference stands for: the worker's own copy, if it had it before."""
    key = ref.hex()
    if key not in _kept:
        import ray

        _kept[key] = pickle.loads(ray.get(ref))
        while len(_kept) > _MOST_KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]
