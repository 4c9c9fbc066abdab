"""Policies outside of mbmf: the graph in ONNX Runtime beside the core, and the command that writes it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import mbmf
from mbmf.cli import main as cli
from mbmf.errors import MbmfError
from mbmf.runs.manifest import Manifest


@pytest.fixture(scope="module")
def ant() -> mbmf.Task:
    return mbmf.load_task("ant_forward")


def policy_of(task: mbmf.Task, hidden: tuple[int, ...] = (64, 64)) -> mbmf.GaussianPolicy:
    """With weights of the size that training makes, so that some means leave [-1, 1]."""
    policy = mbmf.GaussianPolicy(task, hidden, std=0.5)
    vector = policy.parameter_vector()
    policy.set_parameter_vector(vector + np.random.default_rng(0).normal(0, 0.2, vector.shape))
    policy.set_std(0.5)
    return policy


def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("hidden", [(64, 64), (), (7, 30, 5)])
def test_onnx_runtime_gives_the_same_actions(ant: mbmf.Task, hidden: tuple[int, ...], tmp_path: Path) -> None:
    policy = policy_of(ant, hidden)
    policy.save_onnx(tmp_path / "policy.onnx")
    graph = session(tmp_path / "policy.onnx")
    given = np.random.default_rng(1).normal(0, 2, (300, ant.nobservation)).astype(np.float32)
    action, mean = graph.run(["action", "mean"], {"observation": given})
    # float32 sums of up to 64 numbers in another order, and another tanh
    np.testing.assert_allclose(mean, policy.mean(given), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(action, policy(given), atol=1e-5)
    assert (np.abs(mean) > 1).any()
    assert np.abs(action).max() == 1
    one = graph.run(["action"], {"observation": given[:1]})[0]
    np.testing.assert_allclose(one[0], policy(given[0]), atol=1e-5)


def test_the_graph_says_what_it_is(ant: mbmf.Task, tmp_path: Path) -> None:
    policy_of(ant).save_onnx(tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about["task"] == "ant_forward"
    assert json.loads(about["observation_names"]) == list(ant.observation_names)
    np.testing.assert_allclose(json.loads(about["action_std"]), np.full(8, 0.5), rtol=1e-6)
    assert [node.op_type for node in model.graph.node] == ["Gemm", "Tanh", "Gemm", "Tanh", "Gemm", "Clip"]


def test_without_onnx(ant: mbmf.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MbmfError, match="ONNX export needs the package onnx: `pip install onnx`"):
        policy_of(ant).save_onnx(tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_is_not_finite_is_not_written(ant: mbmf.Task, tmp_path: Path) -> None:
    policy = policy_of(ant)
    policy.set_parameter_vector(np.full(policy.parameter_vector().shape, np.nan))
    with pytest.raises(ValueError, match="finite"):
        policy.save_onnx(tmp_path / "policy.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_takes_the_newest_policy_of_a_run(
    ant: mbmf.Task, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run_3"
    out = tmp_path / "made" / "policy.onnx"
    args = ["export", f"--runs_dir={tmp_path}", "--run_num=3", f"--onnx={out}"]
    for age, stage in ((100, "imitation"), (50, "mbmf_std0.5_1"), (75, "mbmf_std1_1")):
        path = run / stage / "policy/policy.safetensors"
        path.parent.mkdir(parents=True)
        policy_of(ant).save(path)
        os.utime(path, (path.stat().st_mtime - age,) * 2)
        assert cli.main(args) == 0
        wanted = "mbmf_std0.5_1" if age < 100 else "imitation"
        assert f"{run / wanted / 'policy/policy.safetensors'} of ant_forward" in capsys.readouterr().out
    assert session(out).get_outputs()[0].shape == ["N", 8]
    # one that is gone was passed over: the policy before it was written in its place
    newest = run / "mbmf_std0.5_1"
    manifest = Manifest(newest)
    manifest.record(newest / "policy/policy.safetensors")
    manifest.save()
    (newest / "policy/policy.safetensors").unlink()
    assert cli.main(args) == 2
    assert f"{newest / 'policy/policy.safetensors'}: file must be there" in capsys.readouterr().err
    assert cli.main(["export", f"--policy={path}", f"--onnx={out}"]) == 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either --run_num or --policy must be given, got both or none"),
        (["--run_num=1", "--policy=p"], "either --run_num or --policy must be given, got both or none"),
        (["--run_num=1"], "run_1: run must exist, got none"),
        (["--run_num=2"], "run_2: run must have a policy, got none: mbmf mbmf learns one"),
        (["--policy=none.safetensors"], "none.safetensors: policy file must exist, got none"),
    ],
)
def test_bad_input(args: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run_2").mkdir()
    out = tmp_path / "policy.onnx"
    assert cli.main(["export", f"--runs_dir={tmp_path}", f"--onnx={out}", *args]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_what_would_not_be_used_is_refused(small_runs: Path, tmp_path: Path, capsys: Any) -> None:
    where = [f"--runs_dir={small_runs}", "--run_num=1"]
    for words, message in (
        ([f"--out={tmp_path / 'out'}", "--policy=newest"], "--policy must be given with --onnx"),
        ([f"--onnx={tmp_path / 'a.onnx'}", "--iteration=7"], "--iteration must be given with --out"),
    ):
        assert cli.main(["export", *where, *words]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
