"""Policies in a learned model: every number against NumPy and the model's own predictions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import mbmf
from mbmf.algorithms import imagination
from mbmf.errors import ConfigError
from mbmf.policies.batch import PolicyBatch
from mbmf.rollouts.imagine import imagine_policy
from mbmf.tasks.learning import ImaginedConfig

PRESETS = Path(mbmf.__file__).parent / "presets"


def load(name: str, **changes: Any) -> mbmf.Task:
    config = yaml.safe_load((PRESETS / f"{name}.yaml").read_text()) | changes
    return mbmf.load_task(config)


def trained(
    task: mbmf.Task, members: int = 3, episodes: int = 4, epochs: int = 3
) -> tuple[mbmf.DynamicsModel, mbmf.Episodes]:
    data = mbmf.collect_random(task, episodes=episodes, steps=60, seed=1, nthread=1)
    model = mbmf.DynamicsModel(task, hidden=(24, 24), activation="silu", members=members, seed=2)
    model.fit(data, epochs=epochs, batch_size=32, seed=3)
    return model, data


@pytest.fixture(scope="module")
def hopper() -> tuple[mbmf.Task, mbmf.DynamicsModel, mbmf.GaussianPolicy, np.ndarray]:
    task = load("hopper_forward")
    model, episodes = trained(task)
    states = episodes.states[:, :40].reshape(-1, task.nstate)
    inside = (states[:, 0] > 0.7) & (np.abs(states[:, 1]) < 0.3)
    return task, model, mbmf.GaussianPolicy(task, (16, 8), std=0.4, seed=4), states[inside][:41]


def steps_of(batch: PolicyBatch, episode: int) -> slice:
    first = int(batch.starts[episode])
    return slice(first, first + int(batch.lengths[episode]))


def test_every_step_is_what_policy_and_model_say(hopper: Any) -> None:
    task, model, policy, starts = hopper
    batch = imagine_policy(task, model, policy, starts, 30, seed=7, nthread=1, keep_hidden=True)
    assert len(batch) == len(starts)
    assert batch.nsteps == batch.lengths.sum()
    assert batch.terminated.any()
    assert (batch.lengths[batch.truncated] == 30).all()
    assert (batch.terminated ^ batch.truncated).all()
    np.testing.assert_array_equal(batch.means, policy.mean(batch.observations))
    std = policy.std.astype(np.float64)
    z = (batch.actions.astype(np.float64) - batch.means) / std
    np.testing.assert_allclose(
        batch.log_probs, (-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(axis=1), atol=1e-6
    )
    assert abs(z.mean()) < 0.1
    assert abs(z.std() - 1) < 0.05
    speed = task.state_names.index("subtree_linvel.torso.x")
    for e in range(len(batch)):
        mine = steps_of(batch, e)
        seen = np.concatenate([batch.observations[mine], batch.final_observations[e : e + 1]])
        np.testing.assert_array_equal(seen[0], starts[e].astype(np.float32))
        executed = np.clip(batch.actions[mine], -1, 1)
        predicted = model.predict(np.concatenate([starts[e : e + 1], seen[1:-1]]), executed)
        np.testing.assert_array_equal(seen[1:], predicted)
        rewards = seen[1:, speed].astype(np.float64) + 1 - 0.005 * (executed.astype(np.float64) ** 2).sum(1)
        np.testing.assert_allclose(batch.rewards[mine], rewards, atol=1e-12)
        alive = (seen[1:, 0] > 0.7) & (np.abs(seen[1:, 1]) < 0.3)
        assert alive[:-1].all()
        assert alive[-1] == batch.truncated[e]
    weights = [np.asarray(x, np.float64) for x in policy.arrays()]
    first = np.tanh(batch.observations @ weights[0].T + weights[1])
    np.testing.assert_allclose(batch.hidden[0], first, atol=1e-5)
    np.testing.assert_allclose(batch.hidden[1], np.tanh(first @ weights[2].T + weights[3]), atol=1e-5)


def test_the_same_bits_at_any_number_of_threads_and_in_parts(hopper: Any) -> None:
    task, model, policy, starts = hopper
    many = np.concatenate([starts] * 4)
    whole = imagine_policy(task, model, policy, many, 12, seed=7, nthread=1)
    for nthread in (2, 3, 7):
        again = imagine_policy(task, model, policy, many, 12, seed=7, nthread=nthread)
        for name in ("observations", "actions", "rewards", "log_probs", "lengths", "final_observations"):
            np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    parts = [
        imagine_policy(task, model, policy, many[a:b], 12, seed=7, first_episode=a)
        for a, b in ((0, 5), (5, 164))
    ]
    joined = PolicyBatch.concatenate(parts)
    np.testing.assert_array_equal(joined.observations, whole.observations)
    other = imagine_policy(task, model, policy, many, 12, seed=8)
    assert (other.actions[:5] != whole.actions[:5]).all()


def test_angles_are_seen_as_the_task_observes_them() -> None:
    task = load(
        "cheetah_forward",
        observation=[
            {"source": "qpos", "joint": "rooty", "transform": "cos"},
            {"source": "qpos", "joint": "rooty", "transform": "sin"},
            {"source": "qvel", "joints": ["rootx", "rooty"]},
        ],
        reward=[
            {"term": "linear", "state": "subtree_linvel.torso.x"},
            {"term": "action_rate", "weight": -0.5},
        ],
    )
    model, episodes = trained(task, members=1)
    policy = mbmf.GaussianPolicy(task, (8,), std=0.6, seed=1)
    starts = episodes.states[:, 5]
    batch = imagine_policy(task, model, policy, starts, 4, seed=3)
    state = starts
    executed = np.clip(batch.actions, -1, 1).reshape(4, 4, -1)
    speed, pitch = (task.state_names.index(name) for name in ("subtree_linvel.torso.x", "qpos.rooty"))
    for t in range(4):
        np.testing.assert_allclose(batch.observations[t::4, 0], np.cos(state[:, pitch]), atol=1e-6)
        np.testing.assert_allclose(batch.observations[t::4, 1], np.sin(state[:, pitch]), atol=1e-6)
        state = model.predict(state, executed[:, t])
        step = executed[:, t].astype(np.float64) - executed[:, t - 1] if t else np.zeros_like(executed[:, 0])
        np.testing.assert_allclose(
            batch.rewards[t::4], state[:, speed] - 0.5 * (step.astype(np.float64) ** 2).sum(axis=1), atol=1e-6
        )


@pytest.mark.parametrize("source", ["qpos", "body_quat"])
def test_a_rotation_is_seen_as_the_task_observes_it(source: str) -> None:
    """The ant's nine numbers of its torso's matrix, of the quaternion that the model predicts."""
    state: list[dict[str, Any]] = [{"source": "qvel"}, {"source": "subtree_com", "body": "torso"}]
    state.append({"source": "subtree_linvel", "body": "torso"})
    quaternion = {"source": "qpos"} if source == "qpos" else {"source": source, "body": "torso"}
    seen: list[dict[str, Any]] = [{"source": "qvel"}, {"source": "body_rotation", "body": "torso"}]
    task = load("ant_forward", state=[quaternion, *state], observation=seen, recipes={})
    assert task.core.unpredicted_observations == []
    model, episodes = trained(task, members=2)
    policy = mbmf.GaussianPolicy(task, (8,), std=0.6, seed=1)
    starts = episodes.states[:, 30]
    batch = imagine_policy(task, model, policy, starts, 4, seed=3)
    # in the simulator, where MuJoCo says what the matrix is, and in the model, where its quaternion says it
    simulated = mbmf.collect_policy(task, policy, episodes=4, seed=1, max_episode_steps=30, keep_states=True)
    first = 3 if source == "qpos" else 0
    angles = []
    for states, observed in (
        (simulated.states, simulated.observations),
        (starts, batch.observations[::4]),
        (model.predict(starts, np.clip(batch.actions[::4], -1, 1)), batch.observations[1::4]),
    ):
        matrices = np.array([matrix_of(each) for each in states[:, first : first + 4]])
        np.testing.assert_allclose(observed[:, -9:], matrices.reshape(-1, 9), atol=1e-5)
        angles.append(np.arccos((np.trace(matrices, axis1=1, axis2=2) - 1) / 2))
    assert np.concatenate(angles).max() > 0.3


def matrix_of(quaternion: np.ndarray) -> np.ndarray:
    """By its definition: where it turns the three axes."""
    w, v = quaternion[0] / np.linalg.norm(quaternion), quaternion[1:] / np.linalg.norm(quaternion)
    turned = [x + 2 * w * np.cross(v, x) + 2 * np.cross(v, np.cross(v, x)) for x in np.eye(3)]
    return np.stack(turned, axis=1)


def test_a_prediction_that_is_not_finite_ends_its_episode_alone(hopper: Any) -> None:
    task, model, policy, starts = hopper
    starts = starts[:3].copy()
    starts[1, 4] = 1e300
    batch = imagine_policy(task, model, policy, starts, 5, seed=1)
    assert batch.diverged.tolist() == [False, True, False]
    assert batch.lengths[1] == 0
    alone = imagine_policy(task, model, policy, starts[:1], 5, seed=1)
    np.testing.assert_array_equal(batch.rewards[: batch.lengths[0]], alone.rewards)
    none = imagine_policy(task, model, policy, starts[[1, 1]], 5, seed=1)
    assert none.diverged.all()
    assert none.nsteps == 0


def test_what_is_refused(hopper: Any) -> None:
    task, model, policy, starts = hopper
    with pytest.raises(ValueError, match="starts"):
        imagine_policy(task, model, policy, starts[:, :5], 5)
    with pytest.raises(ValueError, match="starts must be finite"):
        imagine_policy(task, model, policy, np.where(starts > 1, np.nan, starts), 5)
    with pytest.raises(ValueError, match="steps"):
        imagine_policy(task, model, policy, starts, 0)
    ant = mbmf.load_task("gym_ant")
    other, episodes = trained(ant, members=1)
    with pytest.raises(ValueError, match="reward must be of states"):
        imagine_policy(ant, other, mbmf.GaussianPolicy(ant, (8,)), episodes.states[:, 0], 5)
    with pytest.raises(ValueError, match="policy must be one of task gym_ant, got one of hopper_forward"):
        imagine_policy(ant, other, policy, episodes.states[:, 0], 5)
    with pytest.raises(ValueError, match="model must be of the robot"):
        imagine_policy(ant, model, mbmf.GaussianPolicy(ant, (8,)), episodes.states[:, 0], 5)
    turned = load("hopper_forward", observation=[{"source": "body_rotation", "body": "torso"}])
    model, episodes = trained(turned, members=1)
    with pytest.raises(ValueError, match="policy must observe what the model predicts"):
        imagine_policy(turned, model, mbmf.GaussianPolicy(turned, (8,)), episodes.states[:, 0], 5)


def test_updates_in_the_model_raise_what_it_predicts_at_any_number_of_threads() -> None:
    task = load("cheetah_forward")
    model, episodes = trained(task, episodes=20, epochs=20)
    settings = ImaginedConfig(iterations=40, rollouts=60, steps=20, std=0.5)
    policies, done = [], []
    start = mbmf.GaussianPolicy(task, (16, 16), seed=3)
    for nthread in (1, 2):
        policy = copy.deepcopy(start)
        told: list[int] = []
        done.append(
            imagination.improve_in_model(
                task,
                policy,
                model,
                episodes.states[:, 0],
                episodes.states[:, 10:].reshape(-1, task.nstate),
                settings,
                seed=5,
                nthread=nthread,
                progress=told.append,
            )
        )
        assert told == list(range(1, 41))
        policies.append(policy.parameter_vector())
    np.testing.assert_array_equal(policies[0], policies[1])
    assert done[0] == done[1]
    rewards = done[0].rewards
    assert (done[0].diverged, done[0].skipped) == (0, 0)
    first, last = np.mean(rewards[:3]), np.mean(rewards[-3:])
    assert last > first + 0.1, (first, last)


def small_improvement(policy: mbmf.GaussianPolicy, scale: float = 1, **options: Any) -> imagination.Imagined:
    """Updates of a policy in a model of the hopper that knows little; ``scale`` makes its starts absurd."""
    task = load("hopper_forward")
    model, episodes = trained(task, members=1, epochs=1)
    states = episodes.states[:, :5].reshape(-1, task.nstate)
    settings = ImaginedConfig(iterations=4, rollouts=30, steps=10, std=0.4)
    return imagination.improve_in_model(
        task, policy, model, scale * states, states, settings, seed=1, nthread=1, **options
    )


def test_updates_in_the_model_are_the_same_bits_at_any_number_of_pytorchs_threads() -> None:
    """Wide enough for its products to differ."""
    before, policies = torch.get_num_threads(), []
    try:
        for nthread in (1, 2):
            torch.set_num_threads(nthread)
            policy = mbmf.GaussianPolicy(load("hopper_forward"), (200, 200), seed=3)
            small_improvement(policy)
            assert torch.get_num_threads() == nthread
            policies.append(policy.parameter_vector())
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(policies[0], policies[1])


def test_updates_in_the_model_say_what_diverged() -> None:
    """Rewards are those of the others; without them there is nothing to learn."""
    policy = mbmf.GaussianPolicy(load("hopper_forward"), (8,), seed=3)
    some = small_improvement(policy, 1e300)
    assert 4 * 5 < some.diverged < 4 * 25
    assert some.skipped == 0
    plain = small_improvement(mbmf.GaussianPolicy(load("hopper_forward"), (8,), seed=3))
    assert plain.diverged == 0
    assert some.rewards[0] == pytest.approx(plain.rewards[0], abs=0.3)


def test_updates_in_the_model_go_on_from_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, file = load("hopper_forward"), tmp_path / "kept.safetensors"
    monkeypatch.setattr(imagination, "_KEPT_AFTER", 0.0)
    whole = mbmf.GaussianPolicy(task, (8,), seed=3)
    numbers = small_improvement(whole)

    def stop(done: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    policy = mbmf.GaussianPolicy(task, (8,), seed=3)
    with pytest.raises(KeyboardInterrupt):
        small_improvement(policy, keep=lambda write: write(file), progress=stop)
    again, told = mbmf.GaussianPolicy(task, (8,), seed=9), list[int]()
    assert small_improvement(again, begun=file, progress=told.append) == numbers
    assert told == [4]
    np.testing.assert_array_equal(again.parameter_vector(), whole.parameter_vector())


@pytest.mark.parametrize("bounded", ["healthy", "both", "neither"])
def test_an_episode_ends_where_the_robot_is_not_healthy(hopper: Any, bounded: str) -> None:
    """A task need not say twice where it falls; what no state says must be said of the model, too."""
    task, model, policy, starts = hopper
    data = task.to_data()
    whole = imagine_policy(task, model, policy, starts, 30, seed=7)
    if bounded == "healthy":
        data["healthy"] = data["healthy"][:2]  # the others are of velocities that the states clip
        other = mbmf.load_task({**data, "alive": [], "dying_cost": 0})
        batch = imagine_policy(other, model, policy, starts, 30, seed=7)
        np.testing.assert_array_equal(batch.lengths, whole.lengths)
        np.testing.assert_array_equal(batch.rewards, whole.rewards)
        return
    data["healthy"] = [*data["healthy"], {"source": "contact_force", "body": "foot", "below": 1e6}]
    if bounded == "both":
        batch = imagine_policy(mbmf.load_task(data), model, policy, starts, 30, seed=7)
        np.testing.assert_array_equal(batch.lengths, whole.lengths)
        return
    neither = {**data, "alive": [], "dying_cost": 0}
    with pytest.raises(ValueError, match="healthy must bound states, which the model predicts, or alive"):
        imagine_policy(mbmf.load_task(neither), model, policy, starts, 30, seed=7)
    neither["imitation"] = {**neither["imitation"], "imagined": {}}
    with pytest.raises(ConfigError, match=r"imagined must not be given where healthy bounds more than"):
        mbmf.load_task(neither)
