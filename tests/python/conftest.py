"""Fixtures that several tests share."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import mujoco
import pytest
import yaml

# a background job of a shell ignores Ctrl-C and passes that on; tests that press it need it heard
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def rendering() -> None:
    """Skips a test where nothing can be rendered; with MBMF_REQUIRE_RENDERING set, as in CI, it fails."""
    from mbmf.simulation.renderer import Renderer, RenderError

    try:
        Renderer(mujoco.MjModel.from_xml_string("<mujoco/>")).close()
    except RenderError as error:
        if os.environ.get("MBMF_REQUIRE_RENDERING"):
            raise
        pytest.skip(str(error))


# of model-based learning in the runs that tests of pictures and commands look at
SMALL = {
    "random_train": {"episodes": 2, "steps": 40},
    "random_validation": {"episodes": 2, "steps": 110},
    "hidden": [16],
    "epochs": 2,
    "horizon": 3,
    "candidates": 20,
}


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is visualised becomes a video, also where there is a display."""
    monkeypatch.setattr("mbmf.show.viewer.no_window", lambda: "there is no display")


@pytest.fixture(scope="session")
def small_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run_1 of ``mbmf mb``: the swimmer, two iterations, tiny. Read only."""
    import mbmf
    from mbmf.algorithms import model_based

    config = yaml.safe_load(mbmf.load_task("swimmer_forward").to_yaml())
    config["model_based"] |= SMALL | {
        "iterations": 2,
        "rollouts_per_iteration": 2,
        "rollouts_for_training": 1,
        "steps_per_rollout": 25,
        "min_return": -1000.0,
        "rollouts_to_save": 2,
    }
    folder = tmp_path_factory.mktemp("runs")
    task, options = mbmf.load_task(config), model_based.Options(seed=3, nthread=2)
    with model_based.open_run(folder / "run_1", task, options) as run:
        model_based.model_based(task, run, options)
    return folder


@pytest.fixture(scope="session")
def path_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run_4 of ``mbmf mb`` on two paths, straight and a user's own. Read only."""
    from mbmf.cli import main as cli

    folder = tmp_path_factory.mktemp("paths")
    config = yaml.safe_load(mbmf_task("swimmer_trajfollow"))
    config["model_based"] |= SMALL | {
        "rollouts_per_iteration": 2,
        "steps_per_rollout": 25,
    }
    (folder / "swimmer.yaml").write_text(yaml.safe_dump(config))
    (folder / "zigzag.csv").write_text("x,y\n0,0\n0.05,0.02\n0.1,-0.02\n0.3,0.1\n")
    command = ["mb", f"--yaml_file={folder / 'swimmer.yaml'}", "--run_num=4", f"--runs_dir={folder}"]
    reuse = ["--use_existing_training_data", "--use_existing_dynamics_model"]
    zigzag = f"--desired_traj_type={folder / 'zigzag.csv'}"
    for arguments in (["--desired_traj_type=straight"], [*reuse, zigzag]):
        assert cli.main([*command, "--print_minimal", *arguments]) == 0
    return folder


def mbmf_task(name: str) -> str:
    """A preset's YAML."""
    import mbmf

    return mbmf.load_task(name).to_yaml()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """A Ray cluster of two nodes with a processor each, which this process has joined; its address."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    import mbmf

    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    # workers import mbmf and the tests' modules from where this process has them
    places = os.pathsep.join([str(Path(mbmf.__file__).parents[1]), str(Path(__file__).parent), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", places)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
        yield cluster.address
        ray.shutdown()
        cluster.shutdown()
