"""Every format of files, damaged at random: what is read is a value or an error that names the file.

`python tests/python/fuzz.py --seconds 3600` goes through all formats and says what it found, as a table.
Input i of a format is a function of i: `--format npz --first 1234 --inputs 1` makes it again. The files are
read in children, so that a crash is one more finding.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import mbmf
from fuzz_tasks import mutate_tree, read_tree, task_trees
from mbmf.control.bundle import SUMS, load_bundle, save_bundle
from mbmf.errors import ConfigError, CoreError, DataError
from mbmf.runs.configuration import recorded_task, task_entries
from mbmf.runs.run import Run
from mbmf.tasks.paths import read_waypoints

# processor time of one file, and what memory may grow by while it is read: so much, and ten times the file
SLOW_SECONDS = 1.0
MEMORY, MEMORY_RATIO = 64 << 20, 10

# fmt: off
# what a mutation puts in: of YAML, JSON, CSV, numbers and bytes
NUMBERS = [
    b"0", b"1", b"-1", b"2", b"1e400", b"-0.0", b"nan", b".inf", b"null", b"true", b"9" * 400, b"1e-320",
    *(str(2**k).encode() for k in (15, 31, 32, 53, 63, 64, 70)),
]
WORDS = [
    *NUMBERS, b"", b"\n", b" ", b"  ", b"\t", b",", b":", b": ", b"-", b"- ", b"[", b"]", b"{", b"}", b'"',
    b"'", b"#", b"&a ", b"*a", b"<<: ", b"? ", b"| ", b"> ", b"!!int ", b"!!set ",
    b"!!python/name:os.system ", b"---\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xc3\xa9", b"\\u0000",
    b"\\ud800", b"PK\x03\x04", b"PK\x01\x02", b"../", b"/dev/zero", b"qpos", b"qvel", b"action", b"linear",
    b"[[[[[[[[[[[[", b"{}", b"[]", b"F64",
]
# fmt: on


@dataclass
class Format:
    """A kind of file: whole ones, and how they are read from a folder."""

    name: str
    seeds: list[bytes]
    read: Callable[[Path, bytes], object]  # from a folder of its own
    where: float = 1.0  # the share of the file, from its begin, that half of the changes go to
    change: Callable[[list[bytes], float, int], bytes] | None = None  # in place of `mutate`


@dataclass
class Found:
    """What reading many inputs came to."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: dict[str, list[int]] = field(default_factory=dict)  # by what they are: the inputs
    slowest: float = 0.0

    def add(self, kind: str, number: int) -> None:
        self.faults.setdefault(kind, []).append(number)

    def merge(self, other: Found) -> None:
        self.inputs += other.inputs
        self.read += other.read
        self.refused += other.refused
        self.slowest = max(self.slowest, other.slowest)
        for kind, numbers in other.faults.items():
            self.faults.setdefault(kind, []).extend(numbers)


def mutate(seeds: list[bytes], where: float, number: int) -> bytes:
    """Input ``number`` of a format."""
    rng = random.Random(number)
    data = bytearray(rng.choice(seeds))
    reach = max(1, int(len(data) * (where if rng.random() < 0.5 else 1.0)))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 10))):
        at = rng.randrange(min(reach, len(data)) + 1)
        length = min(int(rng.expovariate(1 / 6)) + 1, len(data) - at)
        match rng.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.choice(WORDS)
            case 2:
                data[at : at + length] = rng.choice(WORDS)
            case 3:
                del data[at : at + length]
            case 4:  # again, and perhaps many times
                data[at:at] = data[at : at + length] * rng.choice((1, 1, 2, 50, 2000))
            case 5:  # from elsewhere
                other = rng.choice(seeds)
                begin = rng.randrange(len(other) + 1)
                data[at : at + length] = other[begin : begin + rng.randrange(200)]
            case 6:  # another number in place of one
                numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data[:reach]))
                if numbers:
                    found = rng.choice(numbers)
                    data[found.start() : found.end()] = rng.choice(NUMBERS)
            case 7:
                data[at:] = b"" if rng.random() < 0.3 else data[at:]
            case _:
                data[at : at + 1] = rng.randbytes(1)
    return bytes(data)


# --- the formats


def make_formats(folder: Path) -> dict[str, Format]:
    """Whole files of every kind, of which the inputs are made."""
    task = mbmf.load_task("swimmer_forward")
    episodes = mbmf.collect_random(task, 2, 12)
    model = mbmf.DynamicsModel(task, hidden=(4,))
    model.fit(episodes, epochs=1, batch_size=8)
    episodes.save(folder / "episodes.npz")
    np.savez_compressed(folder / "packed.npz", **dict(np.load(folder / "episodes.npz")))
    model.save(folder / "model")
    mbmf.GaussianPolicy(task, (4,)).save(folder / "policy")
    save_bundle(folder / "export", task, model, horizon=3, candidates=10)
    names = ("swimmer_forward", "cheetah_forward", "hopper_forward", "ant_trajfollow", "swimmer_trajfollow")
    presets = [mbmf.load_task(name).to_yaml().encode() for name in names]
    small = b"name: t\nmodel: {asset: swimmer.xml}\nstate: [{source: qpos}]\n"
    small += b"reward: [{term: action, weight: 1}]\n"
    with Run.create(folder / "run", {"algorithm": "none", "seed": 1, **task_entries(task)}) as run:
        run.append_metrics(_record(1))
        run.append_metrics(_record(2))
        run.write_summary({"completed": 2, "best_reward_mean": 1.5})

    def bytes_of(*names: str) -> list[bytes]:
        return [(folder / name).read_bytes() for name in names]

    def read_task(place: Path, data: bytes) -> object:
        return mbmf.load_task(_write(place / "task.yaml", data))

    def read_path(place: Path, data: bytes) -> object:
        return read_waypoints(_write(place / "path.csv", data))

    def read_npz(place: Path, data: bytes) -> object:
        return mbmf.Episodes.load(_write(place / "episodes.npz", data))

    def read_model(place: Path, data: bytes) -> object:
        return mbmf.DynamicsModel.load(_write(place / "model.safetensors", data), task)

    def read_policy(place: Path, data: bytes) -> object:
        policy = mbmf.GaussianPolicy.load(_write(place / "policy.safetensors", data))
        return policy.load_task() if policy.task_config is not None else policy

    def read_metrics(place: Path, data: bytes) -> object:
        _write(place / "metrics.jsonl", data)
        return Run(place).metrics()

    def read_summary(place: Path, data: bytes) -> object:
        _write(place / "summary.json", data)
        return Run(place).summary()

    def read_config(place: Path, data: bytes) -> object:
        _write(place / "config.yaml", data)
        return recorded_task(Run(place).config(), place)

    def read_files(place: Path, data: bytes) -> object:
        shutil.copytree(folder / "run", place, dirs_exist_ok=True)
        _write(place / "files.json", data)
        return Run(place).check_files()

    def export_of(name: str) -> Callable[[Path, bytes], object]:
        def read_export(place: Path, data: bytes) -> object:
            shutil.copytree(folder / "export", place, dirs_exist_ok=True)
            _write(place / name, data)
            if name != SUMS:
                _seal(place)
            return load_bundle(place)

        return read_export

    export = folder / "export"
    formats = [
        Format("task YAML", [small, small, *presets], read_task),
        Format("task trees", task_trees(), read_tree, change=mutate_tree),
        Format(
            "path CSV",
            [b"x,y\n0,0\n0.05,0.02\n1e-3,-2\n", b"0,1\n2,3", b"\xef\xbb\xbfx,y\r\n1,2\r\n3,4\r\n"],
            read_path,
        ),
        Format("npz", bytes_of("episodes.npz", "packed.npz"), read_npz),
        Format("model safetensors", bytes_of("model"), read_model, 0.7),
        Format("policy safetensors", bytes_of("policy"), read_policy, 0.7),
        Format("metrics", bytes_of("run/metrics.jsonl"), read_metrics),
        Format("summary", bytes_of("run/summary.json"), read_summary),
        Format("run config", bytes_of("run/config.yaml"), read_config),
        Format("file list", bytes_of("run/files.json"), read_files),
        *(
            Format(f"export {name}", [(export / name).read_bytes()], export_of(name), 0.7)
            for name in ("bundle.json", "dynamics.safetensors", SUMS)
        ),
        # what MuJoCo itself loads, and may crash on (docs/threats.md)
        Format("robot", [(export / "model.mjb").read_bytes()], export_of("model.mjb"), 0.05),
    ]
    return {each.name: each for each in formats}


def _record(iteration: int) -> dict[str, object]:
    return {
        "iteration": iteration,
        "reward_mean": 1.5 * iteration,
        "returns": [1.0, 2.0],
        "steps_total": 100,
        "loss_validation": None,
        "validation_error": {"1": 0.25, "5": 0.5},
        "seconds": 1.5,
        "diverged": 0,
    }


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _seal(folder: Path) -> None:
    """Sizes, where they can be found, and checksums anew: who changes a file can do that too."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names.remove(SUMS)
    with contextlib.suppress(ValueError, RecursionError, TypeError):
        text = (folder / "bundle.json").read_text()
        sizes = {name: os.path.getsize(folder / name) for name in names if name != "bundle.json"}
        if isinstance(json.loads(text).get("files"), dict):
            changed = re.sub(r'"files": {[^}]*}', f'"files": {json.dumps(sizes)}', text, count=1)
            (folder / "bundle.json").write_text(changed)
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(sums))


# --- reading them


def attempt(kind: Format, number: int, found: Found) -> None:
    """Reads one input."""
    data = (kind.change or mutate)(kind.seeds, kind.where, number)
    with tempfile.TemporaryDirectory(prefix="fuzz_") as place:
        before, begin = _memory(), time.process_time()
        try:
            kind.read(Path(place), data)
            found.read += 1
        except (ConfigError, DataError, CoreError) as error:
            found.refused += 1
            # a policy says the task that is in its file by its own name
            if place not in str(error) and not str(error).startswith("policy of "):
                found.add("message without the file", number)
        except BaseException as error:
            found.add(f"{type(error).__name__}: {str(error)[:60]}", number)
        taken, grown = time.process_time() - begin, _memory() - before
    found.inputs += 1
    found.slowest = max(found.slowest, taken)
    if taken > SLOW_SECONDS:
        found.add("slow", number)
    if grown > MEMORY + MEMORY_RATIO * len(data):
        found.add("memory", number)


def _memory() -> int:
    """The most that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt_many(kind: Format, first: int, inputs: int, seconds: float = float("inf")) -> Found:
    """Reads inputs in a child, and goes on behind the one that ended it."""
    found, number, end = Found(), first, time.monotonic() + seconds
    context = multiprocessing.get_context("fork")
    at = context.Value("q", first, lock=False)
    while number < first + inputs and time.monotonic() < end:
        receive, send = context.Pipe(duplex=False)
        last = min(number + 5000, first + inputs)
        child = context.Process(target=_work, args=(kind, number, last, end, at, send))
        child.start()
        send.close()
        try:
            part: Found = receive.recv()
            child.join()
        except EOFError:  # it is gone, with what it had counted
            child.join()
            part = Found(inputs=at.value - number + 1)
            what = (
                "hang"
                if child.exitcode in (-signal.SIGALRM, -signal.SIGPROF)
                else f"crash ({child.exitcode})"
            )
            part.add(what, at.value)
        found.merge(part)
        number += max(1, part.inputs)
    return found


def _work(kind: Format, first: int, last: int, end: float, at, send) -> None:  # type: ignore[no-untyped-def]
    faulthandler.enable()
    found = Found()
    for number in range(first, last):
        if time.monotonic() > end:
            break
        at.value = number
        # of processor time, and for what waits; a busy machine takes long
        signal.setitimer(signal.ITIMER_PROF, 20)
        signal.alarm(1200)
        attempt(kind, number, found)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    send.send(found)
    send.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", action="append", help="only these, in place of all but `robot`")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=10**9, help="of each format")
    parser.add_argument("--seconds", type=float, default=60, help="in all")
    options = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        formats = make_formats(Path(folder))
        chosen = options.format or [name for name in formats if name != "robot"]
        print(
            "| format | inputs | read | refused | slowest, s | faults |\n|---|---|---|---|---|---|",
            flush=True,
        )
        for name in chosen:
            found = attempt_many(formats[name], options.first, options.inputs, options.seconds / len(chosen))
            counts = Counter({kind: len(numbers) for kind, numbers in found.faults.items()})
            text = "; ".join(
                f"{count} × {kind} ({', '.join(map(str, found.faults[kind][:3]))})"
                for kind, count in counts.most_common(20)
            )
            row = (name, found.inputs, found.read, found.refused, f"{found.slowest:.2f}", text or "none")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
            faults += len(found.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
