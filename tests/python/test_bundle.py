"""Exported folders: the same actions from C++ as from Python, and an error for whatever is damaged."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import mbmf
from mbmf import _core
from mbmf.cli import main as cli
from mbmf.control.bundle import SUMS, load_bundle, save_bundle
from mbmf.errors import DataError
from mbmf.runs.configuration import task_entries
from mbmf.tasks.searches import search_kinds

PRESETS = ["swimmer_forward", "cheetah_forward", "hopper_forward", "ant_forward", "swimmer_trajfollow"]


def trained(
    task: mbmf.Task, hidden: tuple[int, ...] = (20,), activation: str = "relu", **more: Any
) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, hidden=hidden, activation=activation, **more)
    model.fit(mbmf.collect_random(task, episodes=2, steps=20, seed=0), epochs=1)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hopper's folder, not to be changed."""
    task = mbmf.load_task("hopper_forward")
    folder = tmp_path_factory.mktemp("export") / "hopper"
    return save_bundle(folder, task, trained(task), horizon=7, candidates=60, seed=2**63 + 1, source="a test")


def seal(folder: Path) -> None:
    """Writes the sizes and checksums of a changed folder anew."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names.remove(SUMS)
    contents = json.loads((folder / "bundle.json").read_text())
    contents["files"] = {name: (folder / name).stat().st_size for name in names if name != "bundle.json"}
    (folder / "bundle.json").write_text(json.dumps(contents))
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(sums))


ENSEMBLE: dict[str, Any] = {"members": 3, "elites": 2, "probabilistic": True, "particles": 4, "risk": 0.5}


@pytest.mark.parametrize("search", list(search_kinds()))
@pytest.mark.parametrize("name", [*PRESETS, "an ensemble"])
def test_the_same_plans_bit_for_bit(name: str, search: str, tmp_path: Path) -> None:
    more: dict[str, Any] = {}
    if name == "an ensemble":
        name, activation = "hopper_forward", "silu"
        more = ENSEMBLE | {"propagate": "ts1", "inputs": {"qpos.rooty": "sine and cosine"}}
        more["outputs"] = {"qvel.rootx": "value"}
    else:
        activation = "tanh" if name == "ant_forward" else "relu"
    task = mbmf.load_task(name)
    model = trained(task, (20, 10), activation, **more)
    settings = {} if search == "random_shooting" else {"std": 0.4, "execute": "best"}
    size: dict[str, Any] = {"search": search, "horizon": 6, "candidates": 200, "settings": settings}
    save_bundle(tmp_path / "out", task, model, seed=11, **size)
    bundle = load_bundle(tmp_path / "out")
    assert (bundle.search, bundle.horizon, bundle.candidates, bundle.seed) == (search, 6, 200, 11)
    assert bundle.period == task.dt
    assert bundle.task.name == name
    ours = mbmf.make_planner(task, model, seed=11, **size)
    theirs = _core.Planner(
        bundle.task, bundle.dynamics, bundle.search, 6, 200, bundle.seed, 1, bundle.settings
    )
    memories = ours.make_memory(), theirs.make_memory()
    states = mbmf.Simulator(task, nsim=8, nthread=1, seed=3).states
    for step, state in enumerate(states):
        want = ours.plan(state, 0, step, segment=step, memory=memories[0])
        got = theirs.plan(state, 0, step, segment=step, memory=memories[1])
        assert got[:2] == (want.candidate, want.cost)
        assert got[2].tobytes() == want.actions.tobytes()
        assert got[3].tobytes() == want.states.tobytes()


def test_the_robot_and_the_task_are_the_same(exported: Path) -> None:
    """The simulator of the loaded task does what that of the original does."""
    task, bundle = mbmf.load_task("hopper_forward"), load_bundle(exported)
    assert bundle.seed == 2**63 + 1
    results = []
    for core in (task.core, bundle.task):
        simulator = _core.Simulator(core, 3, 1, 5)
        simulator.reset(None, _core.ResetKind.CONTROL)
        for action in np.random.default_rng(0).uniform(-1, 1, (10, 3, 3)):
            simulator.step(None, action)
        parts = (simulator.states, simulator.observations, simulator.rewards, simulator.terminated)
        results.append([np.array(part).tobytes() for part in parts])
    assert results[0] == results[1]


def test_files_are_what_they_are_said_to_be(exported: Path) -> None:
    """For people: sha256sum checks the folder, the MJCF compiles and the YAML is the task."""
    import mujoco

    subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=exported, check=True)
    task = mbmf.load_task("hopper_forward")
    model = mujoco.MjModel.from_xml_path(str(exported / "model.xml"))
    np.testing.assert_allclose(model.body_mass, task.model.body_mass, rtol=1e-5)
    assert mbmf.load_task(exported / "task.yaml").config == task.config
    contents = json.loads((exported / "bundle.json").read_text())
    assert contents["versions"] == {"mbmf": mbmf.__version__, "mujoco": _core.mujoco_version()}


def test_meshes_come_along(tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "tetra hedron.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
    )
    (tmp_path / "robot.xml").write_text(
        "<mujoco><compiler meshdir='meshes'/><asset><mesh name='m' file='tetra hedron.obj'/></asset>"
        "<worldbody>"
        "<body name='b'><joint name='j' type='slide'/><geom type='mesh' mesh='m'/></body></worldbody>"
        "<actuator><motor joint='j'/></actuator></mujoco>"
    )
    task_file = {
        "name": "mesh",
        "model": {"file": str(tmp_path / "robot.xml")},
        "state": [{"source": "qpos"}, {"source": "qvel"}],
        "reward": [{"term": "linear", "state": "qpos.j"}],
    }
    task = mbmf.load_task(task_file)
    folder = save_bundle(tmp_path / "out", task, trained(task), horizon=3, candidates=5)
    assert [path.name for path in (folder / "assets").iterdir()] == ["0_tetra_hedron.obj"]
    shutil.rmtree(tmp_path / "meshes")
    assert mbmf.load_task(folder / "task.yaml").model.nmesh == 1


def test_every_mutation_is_an_error(exported: Path, tmp_path: Path) -> None:
    """Bytes changed, cut off, inserted, files gone: always an error that names the folder or the file.

    MBMF_MUTATIONS sets how many.
    """
    rng = np.random.default_rng(int(os.environ.get("MBMF_MUTATION_SEED", "0")))
    folder = tmp_path / "damaged"
    shutil.copytree(exported, folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    originals = {name: (folder / name).read_bytes() for name in names}
    for _ in range(int(os.environ.get("MBMF_MUTATIONS", "250"))):
        name = names[rng.integers(len(names))]
        data = bytearray(originals[name])
        at = int(rng.integers(len(data)))
        match rng.integers(5):
            case 0:
                data[at] ^= int(rng.integers(1, 256))
            case 1:
                del data[at:]
            case 2:
                data[at:at] = bytes(rng.integers(0, 256, rng.integers(1, 9), dtype=np.uint8))
            case 3:
                del data[at : at + int(rng.integers(1, 9))]
            case 4:
                data = bytearray(originals[names[(names.index(name) + 1) % len(names)]])
        if bytes(data) == originals[name]:
            continue
        (folder / name).write_bytes(data)
        with pytest.raises(mbmf.CoreError, match=str(folder)):
            load_bundle(folder)
        (folder / name).write_bytes(originals[name])
    load_bundle(folder)


def edit(key: str, value: Any) -> Any:
    """A change to bundle.json that its checksums hide."""

    def change(folder: Path) -> None:
        contents = json.loads((folder / "bundle.json").read_text())
        at = contents
        *path, last = [int(part) if part.isdigit() else part for part in key.split(".")]
        for part in path:
            at = at[part]
        at[last] = value
        (folder / "bundle.json").write_text(json.dumps(contents))
        seal(folder)

    return change


def swap_model(folder: Path) -> None:
    other = mbmf.load_task("swimmer_forward")
    from mbmf.tasks.model import save_model

    (folder / "model.mjb").write_bytes(save_model(other.model))
    seal(folder)


def unlink(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


WRONG = [
    (unlink(SUMS), f"{SUMS} must be readable, got: No such file"),
    (unlink("model.xml"), "model.xml must be readable, got: No such file"),
    (
        lambda folder: (folder / SUMS).write_text("../x"),
        f"{SUMS} must be checksums as mbmf export writes them",
    ),
    (lambda folder: (folder / SUMS).write_text(f"{'0' * 64}  ../../x\n"), "in line 1"),
    (lambda folder: (folder / SUMS).write_text(""), "must list bundle.json, got none"),
    (edit("format", "other"), 'bundle.json.format must be "mbmf-export", got "other"'),
    (edit("format_version", 1), "format_version must be 6 .export the run again with this release"),
    (edit("versions.mujoco", "3.9.9"), 'mujoco must be 4.0.0 as loaded here .* got "3.9.9"'),
    (edit("planner.candidates", 0), "candidates must be a whole number from 1 to 100000000, got 0"),
    (edit("planner.seed", -1), "seed must be a whole number of 64 bits, got -1"),
    (edit("planner.colour", 1), 'bundle.json.planner must be without the key "colour"'),
    (edit("control.period", 0), "bundle.json.control.period must be above 0, got 0"),
    (edit("dynamics.hidden", [21]), r"weight.0 must be F32 of shape \(1, 21, 20\), got F32 \(1, 20, 20\)"),
    (edit("dynamics.hidden", [2**40]), "must be a whole number from 1 to 1048576"),
    (edit("dynamics.activation", "gelu"), 'activation must be one of relu, tanh, silu, got "gelu"'),
    (edit("dynamics.members", 2), r"weight.0 must be F32 of shape \(2, 20, 20\), got F32 \(1, 20, 20\)"),
    (edit("dynamics.inputs", ["value"]), "dynamics.inputs must be a list of 17, one for each state"),
    (edit("dynamics.outputs", []), "dynamics.outputs must be a list of 17, one for each state"),
    (
        edit("dynamics.propagate", "ts1"),
        "propagate must be expectation where one member has no variance head",
    ),
    (edit("task.state.0.address", 99), r"state\[0\].address must be in \[0, 6\)"),
    (edit("task.cost.0.index", [99]), "index"),
    (edit("task.safe_action", [0, 0]), "safe_action must be 3 numbers for this model, got 2"),
    (swap_model, "must be"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_folders(change: Any, message: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(exported, folder)
    change(folder)
    with pytest.raises(mbmf.CoreError, match=message):
        load_bundle(folder)


def make_run(runs: Path, task: mbmf.Task) -> None:
    """The least of a run of `mbmf mb`."""
    run = runs / "run_3"
    (run / "models").mkdir(parents=True)
    config = {"algorithm": "model_based", **task_entries(task), "seed": 4}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    trained(task).save(run / "models" / "iteration_2.safetensors")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = mbmf.load_task("swimmer_forward")
    make_run(tmp_path / "runs", task)
    args = ["export", f"--runs_dir={tmp_path / 'runs'}", "--run_num=3"]
    for _ in range(2):  # the second replaces the first
        assert cli.main([*args, f"--out={tmp_path / 'out'}"]) == 0
    assert (
        "swimmer_forward of run_3, iteration 2, random_shooting with 5000 candidates of 20 steps every 0.15 s"
        in (capsys.readouterr().out)
    )
    assert load_bundle(tmp_path / "out").seed == 4
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    for wrong, message in (
        ([], "--out (a folder for C++) or --onnx (a file) must be given, got neither"),
        (["--iteration=7", f"--out={tmp_path / 'x'}"], "the model of iteration 7 must exist, got none"),
        (
            [f"--out={tmp_path / 'mine'}"],
            "folder must be new, empty or an earlier export, got something else",
        ),
        (["--run_num=9", f"--out={tmp_path / 'x'}"], "run_9/config.yaml: run must exist, got none"),
    ):
        assert cli.main([*args, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_what_is_of_another_robot_cannot_be_exported(tmp_path: Path) -> None:
    task = mbmf.load_task("cheetah_forward")
    config = task.to_data() | {"physics_steps": 3}
    slow = mbmf.load_task(config)
    with pytest.raises(DataError, match="model must be of the robot, states and dt of task cheetah_forward"):
        save_bundle(tmp_path / "out", slow, trained(task), horizon=5)
    value = mbmf.ValueFunction(task, (8,))
    with pytest.raises(DataError, match="value must be of the robot, states and dt"):
        save_bundle(tmp_path / "out", slow, trained(slow), value=value, horizon=5)
    path = mbmf.load_task("swimmer_trajfollow")
    with pytest.raises(DataError, match="value must not be given for a task that follows a path"):
        save_bundle(tmp_path / "out", path, trained(path), value=mbmf.ValueFunction(path, (8,)), horizon=5)
    assert not (tmp_path / "out").exists()


def test_a_cost_function_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="slower"):
        task = mbmf.load_task("swimmer_forward", cost=lambda states, actions: states[:, 0, 0])
    with pytest.raises(DataError, match="must be terms of its file to export it"):
        save_bundle(tmp_path / "out", task, trained(task), horizon=1, candidates=1)


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = mbmf.load_task("swimmer_forward")
    folder = save_bundle(tmp_path / "deep/out", task, trained(task), horizon=3, candidates=5)
    (folder / "stale.txt").write_text("of an earlier version")
    with pytest.raises(DataError, match=r"nothing but an earlier export, .* got also stale\.txt"):
        save_bundle(folder, task, trained(task), horizon=3, candidates=5)
    with (folder / SUMS).open("a") as sums:
        sums.write(f"{'0' * 64}  stale.txt\n")

    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    before = contents()
    with pytest.raises(DataError, match="no weights yet"):
        save_bundle(folder, task, mbmf.DynamicsModel(task), horizon=3, candidates=5)
    assert contents() == before

    def broken(path: Path) -> None:
        assert (path / SUMS).is_file()
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("mbmf.control.bundle.load_bundle", broken)
        with pytest.raises(OSError, match="the disk is gone"):
            save_bundle(folder, task, trained(task), horizon=4, candidates=5)
    assert contents() == before

    save_bundle(folder, task, trained(task), horizon=4, candidates=5)
    assert not (folder / "stale.txt").exists()
    assert load_bundle(folder).horizon == 4
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


def link_to(target: str) -> Any:
    def change(folder: Path) -> None:
        (folder / "task.yaml").unlink()
        (folder / "task.yaml").symlink_to(target)

    return change


def link_of_a_folder(folder: Path) -> None:
    """What lies elsewhere, under a name of the folder's."""
    shutil.move(folder / "model.xml", folder.parent / "model.xml")
    (folder / "assets").symlink_to(folder.parent)
    text = (folder / SUMS).read_text().replace("  model.xml", "  assets/model.xml")
    (folder / SUMS).write_text("".join(sorted(text.splitlines(keepends=True), key=lambda line: line[66:])))


def pipe(folder: Path) -> None:
    (folder / "model.xml").unlink()
    os.mkfifo(folder / "model.xml")


def folder_for_a_file(folder: Path) -> None:
    (folder / "model.xml").unlink()
    (folder / "model.xml").mkdir()


def with_values(text: str) -> Any:
    """As many values as a text can hold."""

    def change(folder: Path) -> None:
        (folder / "bundle.json").write_text(
            '{"format": [' + ",".join([text] * max(1, 3_000_000 // len(text))) + "]}"
        )
        names = sorted(path.name for path in folder.iterdir() if path.name != SUMS)
        sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        (folder / SUMS).write_text("".join(sums))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (link_to("/dev/zero"), r"task\.yaml must be a file of the folder itself, got a link"),
        (link_to("/dev/null"), r"task\.yaml must be a file of the folder itself, got a link"),
        (link_to("model.xml"), r"task\.yaml must be a file of the folder itself, got a link"),
        (link_of_a_folder, r"assets/model\.xml must be a file of the folder itself, got a link"),
        (pipe, r"model\.xml must be a file, got a folder, a device or a pipe"),
        (folder_for_a_file, r"model\.xml must be a file, got a folder, a device or a pipe"),
        *((with_values(text), r"bundle\.json must be JSON .* got more values than") for text in ("0", "[]")),
        (with_values('{"a":0}'), r"bundle\.json must be JSON .* got more values than"),
        (with_values('"' + "x" * 30_000_000 + '"'), r"bundle\.json must be at most 16777216 bytes"),
    ],
)
def test_hostile_folders(change: Any, message: str, exported: Path, tmp_path: Path) -> None:
    """Devices without an end, pipes that nobody writes, texts that are far larger in memory: at once."""
    folder = tmp_path / "hostile"
    shutil.copytree(exported, folder)
    change(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(mbmf.CoreError, match=message):
        load_bundle(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 120_000


def with_number(place: int, value: int, size: int = 8) -> Any:
    def change(folder: Path) -> None:
        data = bytearray((folder / "model.mjb").read_bytes())
        data[place : place + size] = value.to_bytes(size, "little", signed=True)
        (folder / "model.mjb").write_bytes(data)

    return change


def cut(share: float) -> Any:
    def change(folder: Path) -> None:
        data = (folder / "model.mjb").read_bytes()
        (folder / "model.mjb").write_bytes(data[: int(share * len(data))])

    return change


def longer(folder: Path) -> None:
    with open(folder / "model.mjb", "ab") as file:
        file.write(b"\0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut(0.001), "compiled model must be a whole file, got"),
        (cut(0.5), "compiled model must be as long as it announces, got"),
        (longer, "compiled model must be as long as it announces, got"),
        (with_number(0, 1, 4), "compiled model must be a file of mj_saveModel, got something else"),
        (with_number(12, 3_009_009, 4), "compiled model must be of MuJoCo 4000000, got one of 3009009"),
        (with_number(20, -1), "compiled model must be of sizes that can be, got nq = -1"),
        (with_number(20, 2**26), "compiled model must be as long as it announces"),
        (with_number(20 + 8 * 6, 2**60), "compiled model must be of sizes that can be, got nbody = 1152921"),
        (
            with_number(20 + 8 * 96, 2**60),
            "compiled model must be of sizes that can be, got narena = 1152921",
        ),
        # what the header says is right, and MuJoCo refuses: an error within MuJoCo ended the process
        (with_number(20 + 8 * 97, 2**30), "MuJoCo cannot load the model: "),
    ],
)
def test_robots_whose_sizes_lie(change: Any, message: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lie"
    shutil.copytree(exported, folder)
    change(folder)
    seal(folder)
    with pytest.raises(mbmf.CoreError, match=message):
        load_bundle(folder)
