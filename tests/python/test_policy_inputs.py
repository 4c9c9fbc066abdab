"""What policies see of their observations: normalised inputs, and inputs that they are kept from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.algorithms import checkpoint, imitation, policy_inputs
from mbmf.algorithms import model_free as mf
from mbmf.algorithms.imitation_learner import Learner
from mbmf.cluster.sampler import Here
from mbmf.errors import ConfigError, DataError
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from mbmf.seeds import derive_seed
from recorder import Recorder
from small_mb_run import make_run, task_config

SMALL = {"hidden": [8, 8], "batch_size": 200, "steps_per_rollout": 40, "iterations": 3}
HIDDEN = ("subtree_com.torso.x", "qvel.rootx")


def task_with(**settings: Any) -> mbmf.Task:
    config = mbmf.load_task("hopper_forward").to_data()
    return mbmf.load_task({**config, "name": "small", "model_free": SMALL | settings})


def learn(
    path: Path, task: mbmf.Task, *, nthread: int = 1, resume: bool = False, iterations: int = 3
) -> dict[str, Any]:
    """The numbers and the policy of a run."""
    settings, limits = mf.settings_of(task), mf.Limits(iterations)
    with mf.open_run(path, task, settings, limits, nthread=nthread, resume=resume) as run:
        mf.model_free(task, run, settings, limits, nthread=nthread)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    records = [{key: x for key, x in line.items() if not key.startswith("seconds")} for line in lines]
    return {"records": records, "policy": (path / "policy/policy.safetensors").read_bytes()}


def test_a_normalised_policy_is_the_one_before_of_normalised_observations() -> None:
    task = task_with()
    rng = np.random.default_rng(0)
    policy = mbmf.GaussianPolicy(task, (8, 8), seed=1)
    observations = (rng.normal(size=(500, task.nobservation)) * 3 + 7).astype(np.float32)
    observations[:, 2] = 4.0  # does not vary: divided by the least deviation there may be
    probe = observations[:50] + rng.normal(size=(50, task.nobservation)).astype(np.float32)
    deviations = np.where(np.arange(task.nobservation) == 2, 0.05, observations.astype(float).std(axis=0))
    normalised = (probe - observations.astype(float).mean(axis=0)) / deviations
    expected = _mean(policy, normalised)
    before = _mean(policy, probe)
    policy_inputs.normalize(policy, observations)
    np.testing.assert_allclose(_mean(policy, probe), expected, atol=2e-6)
    assert np.abs(before - expected).max() > 1e-3
    # the core's and PyTorch's policies are this one
    np.testing.assert_allclose(policy(probe[0]), np.clip(expected[0], -1, 1), atol=2e-6)


def _mean(policy: mbmf.GaussianPolicy, observations: np.ndarray) -> np.ndarray:
    arrays = [array.astype(np.float64) for array in policy.arrays()[:-1]]
    values = observations
    for weight, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
        values = np.tanh(values @ weight.T + bias)
    return values @ arrays[-2].T + arrays[-1]


def test_a_run_probes_with_its_own_fresh_policy_and_counts_the_steps(tmp_path: Path) -> None:
    task = task_with(normalize_observations=True, iterations=1)
    plain = learn(tmp_path / "plain", task_with(iterations=1))["records"]
    found = learn(tmp_path / "run", task, iterations=1)["records"]
    policy = mbmf.GaussianPolicy(task, (8, 8), seed=derive_seed(0, 10))
    probe = mbmf.collect_policy(task, policy, 200, seed=derive_seed(0, 12), nthread=1, max_episode_steps=40)
    assert found[0]["steps_total"] == found[0]["steps"] + probe.nsteps
    # the batch is that of the normalised policy
    policy_inputs.normalize(policy, probe.observations)
    batch = mbmf.collect_policy(task, policy, 200, seed=derive_seed(0, 11), nthread=1, max_episode_steps=40)
    assert found[0]["reward_mean"] == batch.returns.mean() != plain[0]["reward_mean"]
    assert plain[0]["steps_total"] == plain[0]["steps"]


def test_a_normalised_run_is_the_same_at_any_number_of_threads_and_after_a_resume(tmp_path: Path) -> None:
    task = task_with(normalize_observations=True, inputs={HIDDEN[0]: "nothing"})
    whole = learn(tmp_path / "one", task)
    assert learn(tmp_path / "three", task, nthread=3) == whole
    learn(tmp_path / "parts", task, iterations=1)
    assert learn(tmp_path / "parts", task, resume=True) == whole


@pytest.mark.parametrize("normalize", [False, True])
def test_nothing_is_learned_of_what_is_not_seen(tmp_path: Path, normalize: bool) -> None:
    """Neither by the policy nor by its baseline."""
    names = dict.fromkeys(HIDDEN, "nothing")
    task = task_with(inputs=names, normalize_observations=normalize)
    learn(tmp_path / "run", task)
    policy = mbmf.GaussianPolicy.load(tmp_path / "run/policy/policy.safetensors", task)
    weights = policy.arrays()[0]
    hidden = np.array([name in names for name in task.observation_names])
    assert (weights[:, hidden] == 0).all()
    assert (weights[:, ~hidden] != 0).all()
    other = np.random.default_rng(0).normal(size=task.nobservation)
    np.testing.assert_array_equal(policy(np.where(hidden, 1e3, other)), policy(np.where(hidden, 0, other)))
    # the baseline expects the same wherever these are
    baseline, _, _ = checkpoint.load(tmp_path / "run/policy/checkpoint.safetensors", policy)
    n = task.nobservation
    assert np.abs(baseline.coefficients[:n][hidden]).max() == 0
    assert np.abs(baseline.coefficients[n : 2 * n][hidden]).max() == 0
    constant = np.array([name.endswith(".y") for name in task.observation_names])  # it moves in a plane
    assert np.abs(baseline.coefficients[:n][~hidden & ~constant]).min() > 0


def test_imitation_normalises_by_its_examples_and_hides_the_same(tmp_path: Path) -> None:
    config = task_config()
    names = mbmf.load_task(config).observation_names
    config["model_free"] = {**config["model_free"], "inputs": {names[0]: "nothing"}}
    path = make_run(tmp_path / "run_1", config, seed=4)
    task = mbmf.load_task(config)
    with Run.read(path) as run:
        source = ModelBasedResult.load(run, task)
    for key in (True, False):
        own = mbmf.load_task({**config, "imitation": config["imitation"] | {"normalize_observations": key}})
        settings = imitation.settings_of(own)
        silent = Recorder()
        with imitation.open_run(tmp_path / f"{key}", own, source, settings, seed=0, nthread=1) as run:
            learner = Learner(own, run, source, settings, 0, Here(1), stage=silent.stage, note=silent.note)
            start = learner._policy.arrays()[0]
            fresh = mbmf.GaussianPolicy(own, (8, 8), seed=derive_seed(0, 20)).arrays()[0]
            seen = learner._examples.observations
            assert (seen[:, 0] == 0).all()
            expected = fresh[:, 1:].astype(float)
            if key:
                expected = expected / np.maximum(seen[:, 1:].astype(float).std(axis=0), 0.05)
            np.testing.assert_allclose(start[:, 1:], expected, rtol=1e-6)
            imitation.imitate(own, run, source, settings, seed=0, nthread=1)
        policy, _ = imitation.load_policy(Run(tmp_path / f"{key}"), own)
        assert (policy.arrays()[0][:, 0] == 0).all()


def test_model_free_says_for_imitation_too_unless_that_says_otherwise() -> None:
    config = task_config()
    config["model_free"] = {**config["model_free"], "normalize_observations": True}
    task = mbmf.load_task(config)
    assert imitation.settings_of(task).normalize_observations is True
    config["imitation"] = config["imitation"] | {"normalize_observations": False}
    assert imitation.settings_of(mbmf.load_task(config)).normalize_observations is False
    assert imitation.settings_of(mbmf.load_task(task_config())).normalize_observations is None


def test_a_run_from_before_goes_on(tmp_path: Path) -> None:
    """Its configuration has neither key; one that uses them does not agree."""
    learn(tmp_path / "run", task_with(), iterations=1)
    text = (tmp_path / "run/config.yaml").read_text()
    settings = text[text.index("\nsettings:") :]
    assert "normalize_observations" not in settings
    assert "inputs" not in settings
    learn(tmp_path / "run", task_with(), iterations=2, resume=True)
    with pytest.raises(DataError, match="normalize_observations must be True"):
        learn(tmp_path / "run", task_with(normalize_observations=True), resume=True)


def test_refused_inputs_are_named() -> None:
    with pytest.raises(ConfigError, match=r"inputs must name observations.*nearest: qpos.rootz"):
        task_with(inputs={"qpos.rootzz": "nothing"})
    with pytest.raises(ConfigError, match=r"inputs.qpos.rootz must be .*as it is, nothing.*'none'"):
        task_with(inputs={"qpos.rootz": "none"})
    names = mbmf.load_task("hopper_forward").observation_names
    with pytest.raises(ConfigError, match="must leave an observation to see, got nothing for all"):
        task_with(inputs=dict.fromkeys(names, "nothing"))
