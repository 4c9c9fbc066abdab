"""Checks the installed C++ library: `python .ci/cpp_package.py <build folder of examples/cpp_controller>`.

Exports a small model, lets the C++ programs plan from recorded states and drive a simulation in real time,
and compares the actions with Python's, bit for bit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import mbmf
from mbmf.control.bundle import save_bundle


def main(build: Path) -> None:
    task = mbmf.load_task("cheetah_forward")
    data = mbmf.collect_random(task, episodes=4, steps=100, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(100,))
    model.fit(data, epochs=5)
    with tempfile.TemporaryDirectory() as scratch:
        folder = save_bundle(Path(scratch) / "out", task, model, horizon=10, candidates=500, seed=3)
        planner = mbmf.RandomShooting(task, model, horizon=10, candidates=500, seed=3)
        states = data.states[0, :50]
        lines = [f"{step} {' '.join(x.hex() for x in state)}\n" for step, state in enumerate(states.tolist())]
        replayed = subprocess.run(
            [build / "replay", folder], input="".join(lines), capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for step, (state, line) in enumerate(zip(states, replayed, strict=True)):
            got = [float.fromhex(word) for word in line.split()]
            assert got == planner.plan(state, 0, step).action.tolist(), step
        print(f"{len(replayed)} actions equal Python's, bit for bit")

        table = subprocess.run(
            [build / "cpp_controller", folder, "2"], capture_output=True, text=True, check=True
        ).stdout
        print(table, end="")
        assert "deadline misses" in table
        assert " in 200 steps" in table
        refused = subprocess.run([build / "cpp_controller", scratch], capture_output=True, text=True)
        assert refused.returncode == 1
        assert "SHA256SUMS must be readable" in refused.stderr


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
