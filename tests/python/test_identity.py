"""What files are of: another robot, other names or another dt are refused, or taken when that is said."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

import mbmf
from mbmf import tensor_file
from mbmf.algorithms import model_based
from mbmf.cli import main as cli
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.errors import DataError
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from mbmf.show.run_figures import reward_figure
from mbmf.tasks.identity import Identity, robot_digests

ARM = """<mujoco><worldbody>
<body name="upper"><joint name="j" axis="0 1 0" damping=".1"/>
  <geom name="g" type="capsule" fromto="0 0 0 .3 0 0" size="{size}" rgba="{rgba}"/><site name="s"/></body>
</worldbody><actuator><motor name="m" joint="j" gear="{gear}" ctrlrange="-1 1"/></actuator></mujoco>"""
SHAPE: dict[str, Any] = {"size": 0.02, "rgba": "1 0 0 1", "gear": 0.3}
LEARNING = {
    "random_train": {"episodes": 2, "steps": 40},
    "random_validation": {"episodes": 1, "steps": 110},
    "hidden": [8],
    "epochs": 1,
    "fraction_use_new": 0.9,
    "horizon": 2,
    "candidates": 10,
    "iterations": 1,
    "rollouts_per_iteration": 2,
    "rollouts_for_training": 1,
    "steps_per_rollout": 20,
    "min_return": -1000,
    "rollouts_to_save": 1,
}


def write_arm(folder: Path, **changes: Any) -> Path:
    path = folder / "arm.xml"
    path.write_text(ARM.format(**{**SHAPE, **changes}))
    return path


def config(file: Path | str, states: str = "qpos qvel", **keys: Any) -> dict[str, Any]:
    return {
        "name": "arm",
        "model": {"file": str(file)},
        "physics_steps": 10,
        "state": [{"source": source} for source in states.split()],
        "reward": [{"term": "quadratic", "state": "qvel.j", "weight": -1}],
        "model_based": LEARNING,
        **keys,
    }


@pytest.fixture
def arm(tmp_path: Path) -> mbmf.Task:
    return mbmf.load_task(config(write_arm(tmp_path)))


def trained(task: mbmf.Task) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, hidden=(8,))
    model.fit(mbmf.collect_random(task, 2, 60), epochs=1)
    return model


OTHERS = {
    "states": (
        lambda folder: config(write_arm(folder), "qvel qpos"),
        r"states \[qpos\.j, qvel\.j\] in place of \[qvel\.j, qpos\.j\]",
    ),
    "clip": (
        lambda folder: (
            config(write_arm(folder)) | {"state": [{"source": "qpos"}, {"source": "qvel", "clip": [-1, 1]}]}
        ),
        r"\[qpos\.j, qvel\.j\] in place of \[qpos\.j, qvel\.j in \[-1\.0, 1\.0\]\]",
    ),
    "dt": (
        lambda folder: config(write_arm(folder), physics_steps=5),
        r"dt 0\.02 s in place of 0\.01 s",
    ),
    "robot": (
        lambda folder: config(write_arm(folder, size=0.06)),
        r"robot arm\.xml \([0-9a-f]{16}\) in place of arm\.xml \([0-9a-f]{16}\), whose .*bodies.*geoms",
    ),
    "actuator": (
        lambda folder: config(write_arm(folder, gear=3)),
        r"robot arm\.xml .*, whose actuators are other ones",
    ),
}


@pytest.fixture(params=list(OTHERS))
def changed(request: pytest.FixtureRequest, arm: mbmf.Task, tmp_path: Path) -> tuple[mbmf.Task, str]:
    """The task with the same name and sizes after its files were edited, and what is said of it."""
    make, message = OTHERS[request.param]
    return mbmf.load_task(make(tmp_path)), message


def test_episodes_of_changed_task(arm: mbmf.Task, changed: tuple[mbmf.Task, str], tmp_path: Path) -> None:
    new, message = changed
    mbmf.collect_random(arm, 2, 60).save(tmp_path / "data.npz")
    path = tmp_path / "data.npz"
    with pytest.raises(
        DataError, match=rf"data\.npz: episodes must be of task arm as it is now, .*{message}"
    ):
        mbmf.Episodes.load(path, new)
    data = mbmf.Episodes.load(path, arm)
    assert data.identity == arm.identity
    model = mbmf.DynamicsModel(new, hidden=(8,))
    with pytest.raises(DataError, match=f"data must be of task arm as it is now, .*{message}"):
        model.fit(data, epochs=1)
    fresh = mbmf.collect_random(new, 2, 60)
    with pytest.raises(DataError, match=rf"new_data\[0\] must be of task arm .*{message}"):
        model.fit(fresh, data, epochs=1)
    model.fit(fresh, epochs=1)
    with pytest.raises(DataError, match=message):
        model.validation_error(data, (1,))
    with pytest.raises(DataError, match=r"batches must be of one robot, its names and dt"):
        mbmf.Episodes.concatenate([fresh, data])

    # taken where that is said
    taken = mbmf.Episodes.load(path, new, allow_other_task=True)
    assert taken.identity == new.identity
    np.testing.assert_array_equal(taken.states, data.states)
    model.fit(taken, epochs=1)
    model.fit(data, epochs=1, allow_other_task=True)
    assert model.validation_error(data, (1,), allow_other_task=True)[1] >= 0
    both = mbmf.Episodes.concatenate([fresh, data], allow_other_task=True)
    assert both.identity is None
    assert len(both) == 4


def test_models_and_policies_of_changed_task(
    arm: mbmf.Task, changed: tuple[mbmf.Task, str], tmp_path: Path
) -> None:
    new, message = changed
    model, policy = trained(arm), mbmf.GaussianPolicy(arm, hidden=(4,))
    model.save(tmp_path / "model.safetensors")
    policy.save(tmp_path / "policy.safetensors")
    with pytest.raises(DataError, match=rf"model\.safetensors: (state_names|.*{message})"):
        mbmf.DynamicsModel.load(tmp_path / "model.safetensors", new)
    with pytest.raises(DataError, match=r"policy\.safetensors: "):
        mbmf.GaussianPolicy.load(tmp_path / "policy.safetensors", new)
    with pytest.raises(
        ValueError, match=f"model must be of the robot, states and dt of task arm, .*{message}"
    ):
        mbmf.RandomShooting(new, model, horizon=2, candidates=10)
    with pytest.raises(DataError, match=f"policy must be of task arm as it is now, .*{message}"):
        mbmf.collect_policy(new, policy, 20)

    # taken where that is said
    loaded = mbmf.DynamicsModel.load(tmp_path / "model.safetensors", new, allow_other_task=True)
    planner = mbmf.RandomShooting(new, loaded, horizon=2, candidates=10)
    same = mbmf.RandomShooting(new, model.core, horizon=2, candidates=10)
    start = np.array([0.1, 0.2])
    assert planner.plan(start).cost == same.plan(start).cost
    batch = mbmf.collect_policy(new, policy, 20, allow_other_task=True)
    other = mbmf.GaussianPolicy.load(tmp_path / "policy.safetensors", new, allow_other_task=True)
    np.testing.assert_array_equal(mbmf.collect_policy(new, other, 20).actions, batch.actions)
    assert batch.identity == new.identity


def test_exports_of_changed_task(arm: mbmf.Task, changed: tuple[mbmf.Task, str], tmp_path: Path) -> None:
    new, message = changed
    # the export reads the MJCF again
    if new.identity.robot != arm.identity.robot:
        with pytest.raises(DataError, match=r"arm\.xml: model must be as it was when the task was loaded"):
            save_bundle(tmp_path / "out", arm, trained(arm))
    arm = mbmf.load_task(config(write_arm(tmp_path)))
    save_bundle(tmp_path / "out", arm, trained(arm))
    load_bundle(tmp_path / "out", arm)
    with pytest.raises(DataError, match=f"out: export must be of task arm as it is now, .*{message}"):
        load_bundle(tmp_path / "out", new)
    assert load_bundle(tmp_path / "out", new, allow_other_task=True).task.spec.name == "arm"


def test_planners_know_an_edited_robot(arm: mbmf.Task, tmp_path: Path) -> None:
    """Equal task files whose MJCF was edited in between are no equal robots."""
    planner = mbmf.RandomShooting(arm, mbmf.SimulatorModel(arm), horizon=2, candidates=10)
    edited = mbmf.load_task(config(write_arm(tmp_path, gear=3)))
    assert edited == arm
    with pytest.raises(ValueError, match="planner must be one of task arm"):
        mbmf.collect_mpc(edited, planner, 1, 2)
    mbmf.collect_mpc(mbmf.load_task(config(write_arm(tmp_path))), planner, 1, 2)
    # the core plans in the task's simulator, and in no other
    with pytest.raises(
        ValueError, match=r"model must be the simulator of task arm, where .*, got robot arm\.xml"
    ):
        mbmf.RandomShooting(arm, mbmf.SimulatorModel(edited), horizon=2, candidates=10)


# --- the digest


def test_the_digest_is_of_the_robot_alone(tmp_path: Path) -> None:
    """Neither where the files are nor colours count, nor the last bits of numbers."""
    mesh = "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    text = """<mujoco><asset><mesh name="m" file="m.obj"/></asset><worldbody><body><joint name="j"/>
      <geom type="mesh" mesh="m" rgba="{}"/></body></worldbody>
      <actuator><motor joint="j"/></actuator></mujoco>"""
    found = []
    for folder, colour in (("a", "1 0 0 1"), ("a_longer_folder/inside", "0 1 0 .5")):
        place = tmp_path / folder
        place.mkdir(parents=True)
        (place / "m.obj").write_text(mesh)
        (place / "r.xml").write_text(text.format(colour))
        found.append(mujoco.MjModel.from_xml_path(str(place / "r.xml")))
    digests = robot_digests(found[0])
    assert digests == robot_digests(found[1])
    found[1].body_inertia[:] = np.nextafter(found[1].body_inertia, 1)
    found[1].body_quat[0, 1] = 6e-17
    assert digests == robot_digests(found[1])
    found[1].mesh_vert[0, 0] += 1e-4
    assert {part for part, digest in robot_digests(found[1]).items() if digests[part] != digest} == {"geoms"}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("bodies", lambda model: model.body_mass.__setitem__(1, model.body_mass[1] * (1 + 1e-6))),
        ("joints", lambda model: model.dof_armature.__setitem__(0, 0.1)),
        ("geoms", lambda model: model.geom_friction.__setitem__((0, 0), 0.9)),
        ("actuators", lambda model: model.actuator_group.__setitem__(0, 1)),
        ("options", lambda model: setattr(model.opt, "timestep", 0.003)),
        ("options", lambda model: setattr(model.opt, "disableactuator", 1)),
        ("options", lambda model: model.opt.gravity.__setitem__(2, -9.8)),
    ],
)
def test_the_digest_sees_each_part(arm: mbmf.Task, part: str, change: Any) -> None:
    before = robot_digests(arm.model)
    assert before == arm.identity.robot
    change(arm.model)
    after = robot_digests(arm.model)
    assert {name for name in before if before[name] != after[name]} == {part}


def test_another_mujoco_release_is_said(arm: mbmf.Task) -> None:
    """Where digests differ; where they do not, it is the same robot."""
    other = dataclasses.replace(arm.identity, mujoco="3.9.0")
    assert other.differences(arm.identity) == ""
    other.robot["bodies"] = "0" * 16
    said = other.differences(
        dataclasses.replace(arm.identity, robot={**arm.identity.robot, "bodies": "1" * 16})
    )
    assert "compiled by MuJoCo 3.9.0 in place of 4.0.0, which alone may be the reason" in said


def test_identities_in_files_are_checked(arm: mbmf.Task) -> None:
    data = arm.identity.to_data()
    assert Identity.from_data(data, "file") == arm.identity
    for key, value in (
        *(("states", "qpos"), ("states", [1]), ("actions", None), ("dt", 0), ("dt", float("inf"))),
        ("dt", 10**400),
        *(("robot", []), ("robot", {"bodies": 1}), ("model", 1), ("mujoco", None), ("new", 1)),
    ):
        with pytest.raises(DataError, match=r"^file: identity must be "):
            Identity.from_data({**data, key: value}, "file")


# --- runs


def shows_random(path: Path, notes: list[str]) -> bool:
    lines = reward_figure(path, note=notes.append).axes[0].lines
    return any("random" in str(line.get_label()) for line in lines)


def test_a_changed_copy_of_the_model_changes_nothing(arm: mbmf.Task, tmp_path: Path) -> None:
    save_bundle(tmp_path / "before", arm, trained(arm))
    arm.model.opt.timestep *= 2
    arm.model.body_mass[:] = 9
    assert arm.dt == pytest.approx(0.02)
    save_bundle(tmp_path / "after", arm, trained(arm))
    robots = [(tmp_path / folder / "model.mjb").read_bytes() for folder in ("before", "after")]
    assert robots[0] == robots[1]
    rolled = [mbmf.collect_random(each, 1, 20).states for each in (arm, arm.at_iteration(3))]
    np.testing.assert_array_equal(*rolled)


def test_resume_changed_keyframe(tmp_path: Path) -> None:
    """Where episodes start is not of what models are, but a run that goes on would go on from elsewhere."""

    def load(position: float) -> mbmf.Task:
        file = write_arm(tmp_path)
        key = f'<keyframe><key name="home" qpos="{position}"/></keyframe></mujoco>'
        file.write_text(file.read_text().replace("</mujoco>", key))
        return mbmf.load_task(config(file, start={"keyframe": "home"}))

    path, options = tmp_path / "run", model_based.Options(nthread=1)
    with model_based.open_run(path, load(0.1), options) as run:
        model_based.model_based(load(0.1), run, options)
    other = load(0.2)
    assert mbmf.load_trained(path).task.nstate == 2  # what was learned is of the robot as it is
    with pytest.raises(DataError, match="keyframe that episodes start from must be as it was"):
        model_based.open_run(path, other, options, resume=True)
    with Run.read(path) as run, pytest.raises(DataError, match="keyframe that episodes"):
        ModelBasedResult.load(run, other)
    model_based.open_run(path, other, options, resume=True, allow_other_task=True).close()
    model_based.open_run(path, load(0.1), options, resume=True).close()


def test_resume_changed_mjcf(arm: mbmf.Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run whose MJCF was edited is not gone on with, unless that is said."""
    path, options = tmp_path / "runs/run_1", model_based.Options(nthread=1)
    model_based.open_run(path, arm, options).close()
    (tmp_path / "arm.yaml").write_text(yaml.safe_dump(config("arm.xml")))
    write_arm(tmp_path, size=0.06)
    command = ["mb", f"--yaml_file={tmp_path / 'arm.yaml'}", f"--runs_dir={tmp_path / 'runs'}", "--run_num=1"]
    command += ["--resume", "--nthread=1"]
    before = (path / "config.yaml").read_bytes()
    assert cli.main(command) == 2
    said = capsys.readouterr().err
    assert "config.yaml: run must be of task arm as it is now" in said
    assert "--allow_other_task" in said
    assert (path / "config.yaml").read_bytes() == before
    assert cli.main([*command, "--allow_other_task"]) == 0
    # what another robot does at random is no baseline of the run's
    notes: list[str] = []
    assert not shows_random(path, notes)
    assert "no random actions are shown" in notes[0]
    # the robot as it was again: what was learned since is of another
    write_arm(tmp_path)
    assert shows_random(path, [])
    assert (
        cli.main(["export", "--run_num=1", f"--runs_dir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"])
        == 2
    )
    assert "model must be of task arm as it is now" in capsys.readouterr().err


@pytest.mark.slow
def test_a_moved_project_still_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs and policies find the MJCF where it is by now."""
    old, new = tmp_path / "old", tmp_path / "elsewhere" / "new"
    (old / "robots").mkdir(parents=True)
    write_arm(old / "robots")
    learning = {"hidden": [4], "batch_size": 40, "steps_per_rollout": 20, "iterations": 1}
    (old / "arm.yaml").write_text(yaml.safe_dump(config("robots/arm.xml", model_free=learning)))
    monkeypatch.chdir(old)
    assert cli.main(["mb", "--yaml_file=arm.yaml", "--run_num=1", "--nthread=1"]) == 0
    assert cli.main(["mf", "--which_agent=arm.yaml", "--num_workers_trpo=1"]) == 0
    shutil.copytree(old, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    new.parent.mkdir()
    old.rename(new)
    # the place of the old MJCF now has another robot
    old.mkdir()
    (old / "robots").mkdir()
    write_arm(old / "robots", size=0.06)
    for place in (new, tmp_path / "copy"):
        trained = mbmf.load_trained(place / "runs/run_1")
        assert trained.task.config.model.file == str(place / "robots/arm.xml")
        policy = mbmf.GaussianPolicy.load(place / "runs/mf_arm_1/policy/policy.safetensors")
        assert policy.load_task().identity == trained.task.identity
        monkeypatch.chdir(place)
        assert cli.main(["mb", "--yaml_file=arm.yaml", "--run_num=1", "--nthread=1", "--resume"]) == 0
        assert cli.main(["mb", "--run_num=1", "--nthread=1", "--resume"]) == 0
        assert cli.main(["export", "--run_num=1", "--out=out"]) == 0
    # a run alone, elsewhere, goes by the place that it was made at
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(old)
    new.rename(old)
    shutil.move(old / "runs", tmp_path / "elsewhere" / "runs")
    assert mbmf.load_trained("elsewhere/runs/run_1").task.config.model.file == str(old / "robots/arm.xml")


# --- files of earlier releases


def test_episodes_of_an_earlier_release(arm: mbmf.Task, tmp_path: Path) -> None:
    path = tmp_path / "old.npz"
    mbmf.collect_random(arm, 1, 5).save(path)
    arrays = dict(np.load(path))
    del arrays["identity"]
    np.savez(path, **arrays | {"format": np.array("mbmf-episodes-1")})
    for task in (None, arm):
        with pytest.raises(
            DataError, match=r"got mbmf-episodes-1 of an earlier release, .*collect the episodes"
        ):
            mbmf.Episodes.load(path, task)
    assert mbmf.Episodes.load(path, allow_other_task=True).identity is None
    assert mbmf.Episodes.load(path, arm, allow_other_task=True).identity == arm.identity


def test_own_arrays_are_of_whatever_they_are_said_to_be(arm: mbmf.Task, tmp_path: Path) -> None:
    made = dataclasses.replace(mbmf.collect_random(arm, 1, 5), identity=None)
    made.save(tmp_path / "own.npz")
    loaded = mbmf.Episodes.load(tmp_path / "own.npz", arm)
    assert loaded.identity is None
    mbmf.DynamicsModel(arm, hidden=(4,)).fit(loaded, epochs=1)
    damaged = dict(np.load(tmp_path / "own.npz"))
    for identity in (np.zeros(3), np.frombuffer(b"{", np.uint8), np.frombuffer(b"{}", np.uint8)):
        np.savez(tmp_path / "own.npz", **damaged, identity=identity)
        with pytest.raises(DataError, match=r"own\.npz: .*identity must be"):
            mbmf.Episodes.load(tmp_path / "own.npz")


def test_models_and_policies_of_an_earlier_release(arm: mbmf.Task, tmp_path: Path) -> None:
    model, policy = trained(arm), mbmf.GaussianPolicy(arm, hidden=(4,))
    for kept, load in ((model, mbmf.DynamicsModel.load), (policy, mbmf.GaussianPolicy.load)):
        path = tmp_path / "kept.safetensors"
        kept.save(path)
        strip_identity(path)
        with pytest.raises(DataError, match=r"what an earlier release made, .*: make it again"):
            load(path, arm)
        load(path, arm, allow_other_task=True)
    old = mbmf.GaussianPolicy.load(path)
    assert old.identity is None
    with pytest.raises(DataError, match="policy must be of task arm as it is now"):
        mbmf.collect_policy(arm, old, 5)


def strip_identity(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        header, tensors = file.metadata()["mbmf"], {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    data = {key: value for key, value in yaml.safe_load(header).items() if key != "identity"}
    assert len(data) < len(yaml.safe_load(header))
    tensor_file.write(path, data, tensors)


def test_a_run_of_an_earlier_release(arm: mbmf.Task, tmp_path: Path) -> None:
    path, options = tmp_path / "run_1", model_based.Options(nthread=1)
    model_based.open_run(path, arm, options).close()
    written = yaml.safe_load((path / "config.yaml").read_text())
    assert written["model_file"] == "../arm.xml"
    old = {key: value for key, value in written.items() if key not in ("identity", "model_file")}
    (path / "config.yaml").write_text(yaml.safe_dump(old))
    (path / "files.json").unlink()
    with pytest.raises(
        DataError, match=r"config\.yaml: run must be of task arm as it is now, got what an earlier"
    ):
        model_based.open_run(path, arm, options, resume=True)
    model_based.open_run(path, arm, options, resume=True, allow_other_task=True).close()
