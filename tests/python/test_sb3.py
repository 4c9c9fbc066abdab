"""Policies that are handed over to Stable-Baselines3."""

from __future__ import annotations

import contextlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

import mbmf
from mbmf.errors import ConfigError, MbmfError

pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed")

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 64, "batch_size": 32, "n_epochs": 1},
    "TRPO": {"n_steps": 64, "batch_size": 32},
    "SAC": {"learning_starts": 16, "buffer_size": 200, "batch_size": 16},
}


@pytest.fixture
def policy() -> mbmf.GaussianPolicy:
    policy = mbmf.GaussianPolicy(mbmf.load_task("swimmer_forward"), (12, 9), seed=3, std=0.3)
    rng = np.random.default_rng(0)
    vector = policy.parameter_vector()
    policy.set_parameter_vector(vector + 0.05 * rng.normal(size=len(vector)).astype(np.float32))
    return policy


@pytest.fixture
def env() -> Iterator[Any]:
    env = gymnasium.make("mbmf/Swimmer-v0")
    yield env
    env.close()


@pytest.mark.parametrize("algorithm", ["PPO", "TRPO", "SAC"])
def test_acts_as_before_and_goes_on_learning(policy: mbmf.GaussianPolicy, env: Any, algorithm: str) -> None:
    model = policy.to_sb3(env, algorithm, seed=0, device="cpu", **SETTINGS[algorithm])
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(50, policy.nobservation)).astype(np.float32)
    actions, _ = model.predict(observations, deterministic=True)
    means = policy.mean(observations)
    expected = np.tanh(means) if algorithm == "SAC" else np.clip(means, -1, 1)
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    with torch.no_grad():
        seen = torch.from_numpy(observations)
        if algorithm == "SAC":
            _, log_std, _ = model.policy.actor.get_action_dist_params(seen)
            deviations = log_std.exp().numpy()
        else:
            deviations = model.policy.get_distribution(seen).distribution.stddev.numpy()
    np.testing.assert_allclose(deviations, np.broadcast_to(policy.std, deviations.shape), rtol=1e-5)

    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(96)
    after = list(model.policy.parameters())
    assert any(not torch.equal(one, two) for one, two in zip(before, after, strict=True))
    # the policy itself is left alone
    np.testing.assert_array_equal(policy.mean(observations), means)


def test_bad_input(policy: mbmf.GaussianPolicy, env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"algorithm must be an algorithm \(PPO, TRPO, SAC\), got 'DQN'"):
        policy.to_sb3(env, "DQN")
    other = gymnasium.make("mbmf/HalfCheetah-v0")
    with pytest.raises(ConfigError, match=r"observations of shape \(16,\), as the policy has, got \(\d+,\)"):
        policy.to_sb3(other)
    other.close()
    for wrong in ("mbmf/Swimmer-v0", None):
        with pytest.raises(ConfigError, match=r"env must be an environment, as gymnasium\.make gives it"):
            policy.to_sb3(wrong)  # type: ignore[arg-type]
    walker = mbmf.GaussianPolicy(mbmf.load_task("gym_walker2d"), (8,))  # sizes of the half cheetah
    other = gymnasium.make("mbmf/GymHalfCheetah-v5")
    with pytest.raises(ConfigError, match=r"env must be of the policy's robot, got task gym_half_cheetah: "):
        walker.to_sb3(other)
    other.close()
    several = make_vec_env("mbmf/GymHalfCheetah-v5", 2)
    with pytest.raises(ConfigError, match=r"env must be of the policy's robot, got task gym_half_cheetah: "):
        walker.to_sb3(several)
    several.close()
    theirs = gymnasium.make("HalfCheetah-v5")  # whose robot nothing says
    assert walker.to_sb3(theirs, device="cpu") is not None
    theirs.close()
    with pytest.raises(ConfigError, match="use_sde must not be given"):
        policy.to_sb3(env, use_sde=True)
    normalized = gymnasium.wrappers.NormalizeObservation(gymnasium.make("mbmf/Swimmer-v0"))
    with pytest.raises(ConfigError, match="as they are, got NormalizeObservation"):
        policy.to_sb3(normalized)
    normalized.close()
    for change, message in (({}, "as they are, got VecNormalize"), ({"norm_obs": False}, None)):
        one = VecNormalize(make_vec_env("mbmf/Swimmer-v0", 1), **change)
        with contextlib.nullcontext() if message is None else pytest.raises(ConfigError, match=message):
            policy.to_sb3(one, device="cpu")
        one.close()
    wrappers = gymnasium.wrappers
    smaller = gymnasium.make("mbmf/Swimmer-v0")
    for changed in (
        wrappers.RescaleObservation(smaller, np.float64(-1), np.float64(1)),
        wrappers.TransformObservation(smaller, lambda seen: seen / 10, smaller.observation_space),
        wrappers.DelayObservation(smaller, 2),
    ):
        with pytest.raises(ConfigError, match=f"as they are, got {type(changed).__name__}"):
            policy.to_sb3(changed)
    smaller.close()
    # of others' environments, which may need it
    halved = wrappers.TransformObservation(
        theirs := gymnasium.make("HalfCheetah-v5"), lambda seen: seen / 2, theirs.observation_space
    )
    assert walker.to_sb3(halved, device="cpu") is not None
    theirs.close()
    delayed = make_vec_env(
        "mbmf/Swimmer-v0", 1, wrapper_class=wrappers.DelayObservation, wrapper_kwargs={"delay": 1}
    )
    with pytest.raises(ConfigError, match="as they are, got ObservationWrapper"):
        policy.to_sb3(delayed)
    delayed.close()
    inside = make_vec_env("mbmf/Swimmer-v0", 1, wrapper_class=gymnasium.wrappers.NormalizeObservation)
    with pytest.raises(ConfigError, match="as they are, got NormalizeObservation"):
        policy.to_sb3(inside)
    inside.close()
    scaled = gymnasium.wrappers.RescaleAction(gymnasium.make("mbmf/Swimmer-v0"), 0.0, 1.0)
    with pytest.raises(ConfigError, match=r"actions in \[-1, 1\], .* got a space from 0 to 1"):
        policy.to_sb3(scaled)
    scaled.close()
    batched = gymnasium.make_vec("mbmf/Swimmer-v0", num_envs=2)
    with pytest.raises(ConfigError, match="got a vector environment of Gymnasium"):
        policy.to_sb3(batched)
    batched.close()
    with pytest.raises(ConfigError, match="policy_kwargs must be without net_arch"):
        policy.to_sb3(env, policy_kwargs={"net_arch": [3]})
    with pytest.raises(ConfigError, match="policy_kwargs must be without log_std_init"):
        policy.to_sb3(env, policy_kwargs={"log_std_init": -3})
    with pytest.raises(ConfigError, match="policy_kwargs must be a dictionary, got 3"):
        policy.to_sb3(env, policy_kwargs=3)
    with pytest.raises(ConfigError, match="_init_setup_model must not be given"):
        policy.to_sb3(env, _init_setup_model=False)
    bold = mbmf.GaussianPolicy(mbmf.load_task("swimmer_forward"), (12, 9), std=20)
    with pytest.raises(ConfigError, match=r"deviations of 2\.1e-09 to 7\.39 for SAC, .* got 20 to 20"):
        bold.to_sb3(env, "SAC")
    assert bold.to_sb3(env, "PPO", device="cpu") is not None
    vector = policy.parameter_vector()
    vector[0] = np.nan
    broken = mbmf.GaussianPolicy(mbmf.load_task("swimmer_forward"), (12, 9))
    broken.set_parameter_vector(vector)
    with pytest.raises(ConfigError, match="policy must have finite parameters"):
        broken.to_sb3(env)
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(MbmfError, match=r'pip install "mbmf\[bench\]"'):
        policy.to_sb3(env)


def test_the_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "policy.safetensors"
    mbmf.GaussianPolicy(mbmf.load_task("cheetah_forward"), std=0.5).save(path)
    monkeypatch.setattr(sys, "argv", ["sb3_handover.py", str(path), "64"])
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / "sb3_handover.py"), run_name="__main__")
    assert "before:" in (said := capsys.readouterr().out)
    assert "after:" in said
