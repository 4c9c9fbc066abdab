"""Checks the installed C++ library: `python .ci/cpp_package.py <build of cpp_controller> <of cpp_search>`.

Exports small models, lets the C++ programs plan from recorded states and drive a simulation in real time,
and compares the actions with Python's, bit for bit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

import mbmf
from mbmf.control.bundle import save_bundle


def replay(program: Path, folder: Path, planner: mbmf.Planner, states: npt.NDArray[np.float64]) -> None:
    """The plans of an episode, each with the memory of the one before."""
    lines = [f"{step} {' '.join(x.hex() for x in state)}\n" for step, state in enumerate(states.tolist())]
    replayed = subprocess.run(
        [program, folder], input="".join(lines), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    memory = planner.make_memory()
    for step, (state, line) in enumerate(zip(states, replayed, strict=True)):
        got = [float.fromhex(word) for word in line.split()]
        assert got == planner.plan(state, 0, step, memory=memory).action.tolist(), step
    print(f"{len(replayed)} actions of {planner.search} equal Python's, bit for bit")


def main(controller: Path, search: Path) -> None:
    task = mbmf.load_task("cheetah_forward")
    data = mbmf.collect_random(task, episodes=4, steps=100, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(100,))
    model.fit(data, epochs=5)
    with tempfile.TemporaryDirectory() as scratch:
        for name, candidates in (("icem", 40), ("random_shooting", 500)):
            folder = save_bundle(
                Path(scratch) / name, task, model, search=name, horizon=10, candidates=candidates, seed=3
            )
            planner = mbmf.Planner(task, model, name, horizon=10, candidates=candidates, seed=3)
            replay(controller / "replay", folder, planner, data.states[0, :50])

        table = subprocess.run(
            [controller / "cpp_controller", folder, "2"], capture_output=True, text=True, check=True
        ).stdout
        print(table, end="")
        assert "deadline misses" in table
        assert " in 200 steps" in table
        refused = subprocess.run([controller / "cpp_controller", scratch], capture_output=True, text=True)
        assert refused.returncode == 1
        assert "SHA256SUMS must be readable" in refused.stderr

        found = subprocess.run([search / "cpp_search", folder], capture_output=True, text=True, check=True)
        print(found.stdout, end="")
        shooting, climbing = (line.split() for line in found.stdout.splitlines())
        assert shooting[0] == "random_shooting"
        assert climbing[0] == "hill_climbing"
        assert shooting[4] == climbing[4] == "1000"
        assert float(climbing[2]) < float(shooting[2])


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:3]))
