"""Candidates that a policy proposes: the core against NumPy, every search, exports, what is refused."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import mbmf
from mbmf import _core
from mbmf.control.bundle import load_bundle, save_bundle
from mbmf.errors import ConfigError
from search_oracle import MASK, counters, normals, philox
from test_bundle import edit

pytestmark = pytest.mark.filterwarnings("ignore:nthread should be at most")

Floats = npt.NDArray[np.float64]
SEARCHES = ["random_shooting", "cem", "icem", "mppi"]
PROPOSAL = 7  # the stream of proposals
H = 7


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("hopper_forward")


@pytest.fixture(scope="module")
def episodes(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, 4, 60, seed=3)


def policy_of(task: mbmf.Task, std: float = 0.4) -> mbmf.GaussianPolicy:
    """One that acts: a new policy's last layer is nearly zero."""
    policy = mbmf.GaussianPolicy(task, (16, 12), seed=2)
    policy.set_parameter_vector(4 * policy.parameter_vector())
    policy.set_std([std / (1 + i) for i in range(task.naction)])
    return policy


@pytest.fixture(scope="module")
def policy(task: mbmf.Task) -> mbmf.GaussianPolicy:
    return policy_of(task)


def trained(task: mbmf.Task, episodes: mbmf.Episodes, **settings: Any) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, hidden=(16,), **settings)
    model.fit(episodes, epochs=3, batch_size=32)
    return model


def start_of(episodes: mbmf.Episodes) -> Floats:
    return np.asarray(episodes.states[1][0], np.float64)


def noise(seed: int, episode: int, step: int, count: int, naction: int) -> Floats:
    """(count, H, naction), none for the first."""
    head = np.array([[PROPOSAL, episode & MASK, episode >> 32, 0x6D626D66]], np.uint64)
    key = philox(np.array([seed & MASK, seed >> 32], np.uint64), head)[0, :2]
    counter = counters(step, 0, np.arange(count), H * naction)
    words = philox(key, counter.reshape(-1, 4)).reshape(count, -1)
    drawn = normals(words)[:, : H * naction].reshape(count, H, naction)
    drawn[0] = 0
    return drawn


def numpy_proposals(
    policy: mbmf.GaussianPolicy,
    predict: Callable[[Floats, Floats], Floats],
    observe: Callable[[Floats], Floats],
    start: Floats,
    drawn: Floats,
) -> Floats:
    """From the definition, in float64."""
    *layers, log_std = (array.astype(np.float64) for array in policy.arrays())
    states = np.repeat(start[None], len(drawn), 0)
    actions = []
    for t in range(H):
        x = observe(states)
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            x = np.tanh(x @ weight.T + bias)
        mean = x @ layers[-2].T + layers[-1]
        actions.append((mean + np.exp(log_std) * drawn[:, t]).clip(-1, 1))
        states = predict(states, actions[-1])
    return np.stack(actions, 1)


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("kind", ["one", "ensemble", "noisy", "inputs"])
def test_proposals_equal_numpy(
    task: mbmf.Task,
    episodes: mbmf.Episodes,
    policy: mbmf.GaussianPolicy,
    kind: str,
    isa: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The policy goes through the mean of the members' means, whatever candidates go through."""
    settings: dict[str, Any] = {
        "one": {},
        "ensemble": {"members": 3, "propagate": "tsinf"},
        "noisy": {"members": 2, "probabilistic": True, "propagate": "ts1", "particles": 4},
        "inputs": {"members": 2, "inputs": {"qpos.rooty": "sine and cosine"}},
    }[kind]
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    model = trained(task, episodes, **settings)
    start, count = start_of(episodes), 19
    planner = mbmf.RandomShooting(task, model, H, 50, seed=11, policy=policy, proposals=count)
    plain = mbmf.RandomShooting(task, model, H, 50, seed=11)
    plan, (found,) = planner.trace(start, 5, 9)
    wanted = numpy_proposals(
        policy,
        lambda states, actions: model.predict(states, actions).astype(np.float64),
        lambda states: states,
        start,
        noise(11, 5, 9, count, task.naction),
    )
    assert found.sequences[:count] == pytest.approx(wanted, abs=2e-4)
    assert np.abs(wanted).max() == 1  # clipped
    assert np.ptp(wanted[:, 0], axis=0).min() > 0.1
    assert found.sequences[0, 0] == pytest.approx(np.clip(policy.mean(start[None])[0], -1, 1), abs=1e-6)
    # the others are those of a planner without a policy, and all cost what such sequences cost
    _, (drawn,) = plain.trace(start, 5, 9)
    assert (found.sequences[count:] == drawn.sequences[count:]).all()
    assert (found.costs[count:] == drawn.costs[count:]).all()
    assert plan.proposals_done == count
    if kind != "noisy":  # whose noise depends on the position
        assert (plain.roll(start, found.sequences) == found.costs).all()


def test_through_the_simulator(task: mbmf.Task, policy: mbmf.GaussianPolicy) -> None:
    simulator = mbmf.Simulator(task, nsim=1, nthread=1, seed=4)
    row = simulator.get_state()[0]
    planner = mbmf.ICEM(
        task, mbmf.SimulatorModel(task), H, 12, elites=4, seed=1, policy=policy, proposals=5, nthread=2
    )
    _, rounds = planner.trace(row, 2, 3)
    drawn = noise(1, 2, 3, 5, task.naction) * policy.std
    for proposal, each in zip(rounds[0].sequences[:5], drawn, strict=True):
        simulator.set_state(row[None])
        for action, more in zip(proposal, each, strict=True):
            seen = simulator.states.astype(np.float32)
            assert action == pytest.approx(np.clip(policy.mean(seen)[0] + more, -1, 1), abs=1e-4)
            simulator.step(action[None].astype(np.float64))


def test_what_a_policy_sees_of_the_states(episodes: mbmf.Episodes) -> None:
    """Fewer numbers than the states, in another order, and an angle's sine; with states far from 0."""
    data = mbmf.load_task("hopper_forward").to_data()
    seen = [
        {"source": "qvel", "joints": ["rootz", "rooty"], "clip": [-10, 10]},
        {"source": "qpos", "joint": "rooty", "transform": "sin"},
        {"source": "subtree_com", "body": "torso"},
    ]
    task = mbmf.load_task({**data, "observation": seen})
    states = np.array(episodes.states[0], np.float64)
    far = task.state_names.index("subtree_com.torso.x")
    rollouts = mbmf.collect_random(task, 3, 60)
    moved = [np.array(each) for each in rollouts.states]
    for each in moved:
        each[:, far] += 5000
    rollouts = dataclasses.replace(rollouts, states=np.stack(moved))
    states[:, far] += 5000
    model = trained(task, rollouts)
    policy = policy_of(task)
    columns = [task.state_names.index(name) for name in task.observation_names if name in task.state_names]
    angle = task.state_names.index("qpos.rooty")

    def observe(x: Floats) -> Floats:
        return np.concatenate([x[:, columns[:2]], np.sin(x[:, [angle]]), x[:, columns[2:]]], 1)

    # 5000 makes every unit of the network saturated: its weight must be small to say anything
    vector = [array.copy() for array in policy.arrays()]
    vector[0][:, task.observation_names.index("subtree_com.torso.x")] *= 1e-4
    policy.set_parameter_vector(np.concatenate([array.ravel() for array in vector]))
    planner = mbmf.RandomShooting(task, model, H, 10, policy=policy, proposals=6)
    _, (found,) = planner.trace(states[3], 0, 0)
    wanted = numpy_proposals(
        policy,
        lambda x, u: model.predict(x, u).astype(np.float64),
        observe,
        states[3],
        noise(0, 0, 0, 6, task.naction),
    )
    assert found.sequences[:6] == pytest.approx(wanted, abs=1e-3)
    assert np.ptp(wanted[0], axis=0).max() > 1e-3


@pytest.mark.parametrize("isa", _core.available_isas())
def test_a_policy_sees_a_rotation(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix of the quaternion that the ant's model predicts, also one that is not of length 1."""
    monkeypatch.setenv("MBMF_FORCE_ISA", isa)
    task = mbmf.load_task("ant_forward")
    data = mbmf.collect_random(task, 4, 60, seed=3)
    policy = policy_of(task)
    names = list(task.observation_names)
    own = [i for i, name in enumerate(names) if name in task.state_names]
    turned = [names.index(f"body_rotation.torso.{k}") for k in range(9)]
    states = [task.state_names.index(names[i]) for i in own]
    first = task.state_names.index("qpos.root.qw")

    def observe(x: Floats) -> Floats:
        seen = np.empty((len(x), len(names)))
        seen[:, own] = x[:, states]
        q = x[:, first : first + 4] / np.linalg.norm(x[:, first : first + 4], axis=1, keepdims=True)
        w, v = q[:, :1, None], q[:, 1:]
        cross = np.cross(v[:, None], np.eye(3)[None])  # what v makes of each axis
        matrix = np.eye(3) + 2 * w * cross + 2 * np.cross(v[:, None], cross)
        seen[:, turned] = matrix.transpose(0, 2, 1).reshape(-1, 9)
        return seen

    start = np.array(data.states[1][25], np.float64)
    start[first : first + 4] *= 1.2
    simulated = mbmf.collect_policy(task, policy, episodes=1, seed=2, max_episode_steps=30, keep_states=True)
    assert observe(simulated.states) == pytest.approx(simulated.observations, abs=1e-4)
    model = trained(task, data)
    wanted = numpy_proposals(
        policy,
        lambda x, u: model.predict(x, u).astype(np.float64),
        observe,
        start,
        noise(0, 0, 0, 6, task.naction),
    )
    _, (found,) = mbmf.RandomShooting(task, model, H, 10, policy=policy, proposals=6).trace(start, 0, 0)
    assert found.sequences[:6] == pytest.approx(wanted, abs=1e-3)
    # and it matters
    blind = numpy_proposals(
        policy,
        lambda x, u: model.predict(x, u).astype(np.float64),
        lambda x: np.where(np.isin(np.arange(len(names)), turned), 0.0, observe(x)),
        start,
        noise(0, 0, 0, 6, task.naction),
    )
    assert np.abs(found.sequences[:6] - blind).max() > 0.05


@pytest.mark.parametrize("search", SEARCHES)
def test_every_search_takes_them_in_its_first_round(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy, search: str
) -> None:
    """From plan to plan of an episode, at any number of threads, in copies: the same bits."""
    model = trained(task, episodes, members=2, probabilistic=True)
    start = start_of(episodes)

    def planner(**more: Any) -> mbmf.Planner:
        return mbmf.make_planner(task, model, search, H, 60, seed=5, policy=policy, proposals=9, **more)

    planners = [planner(nthread=threads) for threads in (1, 2, 3, 7)]
    planners.append(pickle.loads(pickle.dumps(planner(nthread=2))))
    for step in range(3):
        plans = [each.plan(start + 0.01 * step) for each in planners]
        for plan in plans:
            assert plan.cost == plans[0].cost
            assert (plan.actions == plans[0].actions).all()
            assert plan.proposals_done == 9
    batch, costs = planners[1].plan_batch(np.stack([start] * 5), [4] * 5, [1, 1, 2, 3, 4])
    alone = planners[0].plan(start, 4, 3)
    assert (batch[3] == alone.action).all()
    assert costs[3] == alone.cost
    assert (batch[0] == batch[1]).all()

    # where: after what the search gives
    memory = planners[0].memory
    given = len(memory.kept) if search == "icem" else 0
    _, rounds = planners[0].trace(start, 0, 7, memory=memory)
    bare = mbmf.make_planner(task, model, search, H, 60, seed=5)
    for each in planners[:1]:
        _, again = each.trace(start, 0, 7)
        assert (rounds[0].sequences[given : given + 9] == again[0].sequences[:9]).all()
    _, without = bare.trace(start, 0, 7)
    assert len(without[0].sequences) == len(again[0].sequences)
    assert (without[0].sequences[9:] == again[0].sequences[9:]).all()
    assert (without[0].sequences[:9] != again[0].sequences[:9]).any(axis=(1, 2)).all()
    assert (given > 0) == (search == "icem")


def test_what_is_cheap_wins(task: mbmf.Task, episodes: mbmf.Episodes) -> None:
    """A policy whose actions are the cheapest is followed, however few candidates there are."""
    still = mbmf.load_task({**task.to_data(), "alive": [], "cost": [{"term": "action", "weight": 1}]})
    model = trained(still, episodes)
    nothing = mbmf.GaussianPolicy(still, (4,))
    nothing.set_parameter_vector(0 * nothing.parameter_vector())
    start = start_of(episodes)
    for search in SEARCHES:
        settings = {} if search == "random_shooting" else {"execute": "best"}
        settings |= {"elites": 5} if search in ("cem", "icem") else {}
        plans = [
            mbmf.make_planner(still, model, search, H, 20, settings=settings, **more).plan(start)
            for more in ({}, {"policy": nothing, "proposals": 1})
        ]
        assert plans[1].cost == 0
        assert not plans[1].actions.any()
        assert plans[0].cost > 0.5


def test_a_deadline_leaves_them(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy
) -> None:
    """A round that is cut short has its first candidates: the policy's are among them."""
    planner = mbmf.ICEM(task, trained(task, episodes), H, 400, policy=policy, proposals=8)
    start = start_of(episodes)
    cut = planner.plan(start, 0, 0, candidates=10)
    assert (cut.candidates_done, cut.proposals_done) == (10, 8)
    late = planner.plan(start, 0, 0, deadline=1e-6)
    assert late.candidates_done < 400
    again = planner.plan(start, 0, 0, candidates=late.candidates_done)
    assert (late.actions == again.actions).all()


def test_own_searches_see_what_was_rolled(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy
) -> None:
    rolled: list[Any] = []

    class Zeros(mbmf.Search):
        rounds = 2

        def propose(self, plan: Any) -> Any:
            return np.zeros((6, plan.horizon, plan.naction))

        def update(self, plan: Any, sequences: Any, costs: Any) -> Any:
            rolled.append((sequences, costs))
            return sequences[int(np.argmin(costs))]

    model = trained(task, episodes)
    planner = mbmf.Planner(task, model, Zeros(), H, 6, policy=policy, proposals=4)
    start = start_of(episodes)
    planner.plan(start, 3, 1)
    (first, costs), (second, _) = rolled
    assert not first[:2].any()  # all are given: the policy's are the last
    assert (np.abs(first[2:]).max(axis=(1, 2)) > 0).all()
    assert (planner.roll(start, first) == costs).all()
    assert not second.any()


def test_collected_episodes_and_a_controller(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy
) -> None:
    model = trained(task, episodes)

    def collected(nthread: int, **more: Any) -> mbmf.Episodes:
        planner = mbmf.ICEM(task, model, H, 12, elites=4, seed=2, nthread=nthread, **more)
        return mbmf.collect_mpc(task, planner, 3, 6, seed=1)

    named: dict[str, Any] = {"policy": policy, "proposals": 3}
    one, two, bare = collected(1, **named), collected(3, **named), collected(1)
    assert all((a == b).all() for a, b in zip(one.actions, two.actions, strict=True))
    assert any((a != b).any() for a, b in zip(one.actions, bare.actions, strict=True))
    planner = mbmf.ICEM(task, model, H, 12, elites=4, **named)
    assert mbmf.Controller(planner, 0.02).period == 0.02


def test_what_is_not_finite_is_left_out_and_counted(task: mbmf.Task) -> None:
    """Infinity less infinity: the drawn candidates stay in their places."""
    seen = [{"source": "body_pos", "body": "torso"}, *task.to_data()["state"]]
    task = mbmf.load_task({**task.to_data(), "observation": seen})
    wild, simulator = mbmf.GaussianPolicy(task, ()), mbmf.Simulator(task, nsim=1, nthread=1)
    arrays = [np.array(array) for array in wild.arrays()]
    arrays[0][:, [2, 3]] = 3e38, -3e38  # of a height of 1.25, twice
    wild.set_parameter_vector(np.concatenate([array.ravel() for array in arrays]))
    assert np.isnan(wild.mean(simulator.observations)).all()
    model, row = mbmf.SimulatorModel(task), simulator.get_state()[0]
    planner = mbmf.ICEM(task, model, H, 12, elites=4, seed=1, policy=wild, proposals=8)
    bare = mbmf.ICEM(task, model, H, 12, elites=4, seed=1)
    plan = planner.plan(row, 0, 0)
    assert planner.proposals_left_out == 8
    assert plan.proposals_done == 0
    assert (plan.actions == bare.plan(row, 0, 0).actions).all()


def test_what_is_refused(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy, tmp_path: Path
) -> None:
    model = trained(task, episodes)

    def refused(message: str, on: mbmf.Task = task, with_model: Any = model, **arguments: Any) -> None:
        with pytest.raises(ValueError, match=message):
            mbmf.make_planner(on, with_model, "random_shooting", H, 20, **arguments)

    refused(r"proposals must be in \[1, 20\], the candidates at most, got 21", policy=policy, proposals=21)
    refused("proposals must be at least 1, got 0", policy=policy, proposals=0)
    refused("proposals must be given with a policy, got 4 without one", proposals=4)
    swimmer = mbmf.load_task("swimmer_forward")
    refused(
        "policy must see 17 numbers and give 3 actions, as task hopper_forward, got one of swimmer_forward "
        "with 16 and 2",
        policy=mbmf.GaussianPolicy(swimmer),
    )
    heavy = mbmf.load_task({**task.to_data(), "overrides": {"joints": {"damping": 3}}})
    refused("policy must be of the robot and dt of task hopper_forward", policy=mbmf.GaussianPolicy(heavy))
    on_path = mbmf.load_task("swimmer_trajfollow").with_path("straight")
    refused(
        "policy must not be given for a task that follows a path",
        on_path,
        trained(on_path, mbmf.collect_random(on_path, 2, 30)),
        policy=mbmf.GaussianPolicy(on_path),
    )
    broken = mbmf.GaussianPolicy(task)
    broken.set_parameter_vector(np.full_like(broken.parameter_vector(), np.nan))
    refused("weight", policy=broken)

    # an observation that no model predicts; the simulator has it
    turned = mbmf.load_task(
        {**task.to_data(), "observation": [{"source": "body_rotation", "body": "torso"}], "recipes": {}}
    )
    blind = mbmf.GaussianPolicy(turned)
    of_turned = trained(turned, mbmf.collect_random(turned, 2, 30))
    message = r"policy must see only what a model predicts, .* got others for body_rotation\.torso\.0"
    refused(message, turned, of_turned, policy=blind)
    with pytest.raises(ValueError, match=message):
        save_bundle(tmp_path / "out", turned, of_turned, policy=blind)
    row = mbmf.Simulator(turned, nsim=1, nthread=1).get_state()[0]
    planner = mbmf.RandomShooting(turned, mbmf.SimulatorModel(turned), 3, 4, policy=blind, proposals=2)
    assert planner.plan(row).proposals_done == 2

    with pytest.raises(ConfigError, match="policy must not be given for a task that follows a path"):
        mbmf.load_task({**on_path.to_data(), "policy": {"std": 0.1}})
    with pytest.raises(ConfigError, match="policy must not be given where the model predicts nothing of"):
        mbmf.load_task({**turned.to_data(), "policy": {}})
    with pytest.raises(ConfigError, match=r"policy\.proposals must be at most the planner's 4 candidates"):
        mbmf.load_task(
            {**task.to_data(), "planner": {"search": "mppi", "candidates": 4}, "policy": {"proposals": 5}}
        )


def test_the_task_says_how_many(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy
) -> None:
    told = mbmf.load_task({**task.to_data(), "policy": {"proposals": 3}})
    model = trained(task, episodes)
    for on, wanted in ((told, 3), (task, 8)):
        assert mbmf.make_planner(on, model, policy=policy).proposals == wanted
    assert mbmf.RandomShooting(task, model, H, 5, policy=policy).proposals == 5


def test_an_export_carries_it(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy, tmp_path: Path
) -> None:
    model = trained(task, episodes)
    sizes: dict[str, Any] = {"search": "random_shooting", "horizon": H, "candidates": 20}
    folder = save_bundle(tmp_path / "out", task, model, policy=policy, proposals=6, **sizes)
    bundle = load_bundle(folder, task)
    seen = np.asarray(episodes.states[0], np.float32)
    assert (bundle.policy.mean(seen, 1) == policy.mean(seen)).all()
    assert bundle.proposals == 6
    # the reader's parts plan the same bits
    start = start_of(episodes)
    args = (bundle.search, bundle.horizon, bundle.candidates, bundle.seed, 1, bundle.settings)
    helps: dict[str, Any] = {"policy": bundle.policy, "proposals": bundle.proposals}
    read = _core.Planner(bundle.task, bundle.dynamics, *args, **helps)
    plan = mbmf.RandomShooting(task, model, H, 20, policy=policy, proposals=6).plan(start, 0, 0)
    found = read.plan(start, 0, 0)
    assert (found[2] == plan.actions).all()
    assert found[1] == plan.cost
    bare = load_bundle(save_bundle(tmp_path / "bare", task, model, **sizes))
    assert bare.policy is None
    assert bare.proposals == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit("policy", None), r"policy must be what policy\.safetensors holds, got null"),
        (edit("policy.hidden", [16]), r"weight\.1 must be F32 of shape \(3, 16\), got F32 \(12, 16\)"),
        (edit("policy.std", 1), 'policy must be without the key "std"'),
        (edit("planner.proposals", 0), "proposals must be a whole number from 1 to 20, got 0"),
        (edit("planner.proposals", 21), "proposals must be a whole number from 1 to 20, got 21"),
    ],
)
def test_wrong_exports(
    task: mbmf.Task,
    episodes: mbmf.Episodes,
    policy: mbmf.GaussianPolicy,
    change: Callable[[Path], None],
    message: str,
    tmp_path: Path,
) -> None:
    sizes: dict[str, Any] = {"search": "random_shooting", "horizon": H, "candidates": 20}
    folder = save_bundle(tmp_path / "out", task, trained(task, episodes), policy=policy, **sizes)
    assert load_bundle(folder).proposals == 8
    change(folder)
    with pytest.raises(mbmf.CoreError, match=message):
        load_bundle(folder)


def test_an_export_without_its_policy(
    task: mbmf.Task, episodes: mbmf.Episodes, policy: mbmf.GaussianPolicy, tmp_path: Path
) -> None:
    model = trained(task, episodes)
    folder = save_bundle(tmp_path / "bare", task, model, horizon=H, candidates=20)
    edit("policy", {"hidden": [16, 12]})(folder)
    with pytest.raises(mbmf.CoreError, match="policy must be null where there is no policy"):
        load_bundle(folder)
    with pytest.raises(ValueError, match="policy must see 17 numbers"):
        save_bundle(tmp_path / "other", task, model, policy=policy_of(mbmf.load_task("swimmer_forward")))
    with pytest.raises(ValueError, match="proposals must be given with a policy"):
        save_bundle(tmp_path / "other", task, model, proposals=3)
