"""After imitation a policy goes on learning in the model, and the model from it."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.algorithms import imagination_rounds, imitation
from mbmf.algorithms.imagination import Imagined, improve_in_model
from mbmf.errors import ConfigError, DataError
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.runs.run import Run
from mbmf.seeds import derive_seed
from recorder import Recorder
from run_numbers import numbers_of
from small_imitation import imitate
from small_mb_run import IMITATION, make_run, task_config


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("mb") / "run_1", task_config(), seed=4)


def test_a_policy_goes_on_learning_in_the_model(
    tmp_path: Path, controller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[np.ndarray, np.ndarray]] = []

    def improve(*given: Any, **options: Any) -> Imagined:
        begun.append((given[3], given[4]))
        return improve_in_model(*given, **options)

    monkeypatch.setattr(imagination_rounds, "improve_in_model", improve)
    imagined = {"iterations": 6, "rollouts": 20, "steps": 15, "std": 0.4}
    more = mbmf.load_task(task_config(imitation=IMITATION | {"imagined": imagined}))
    plain = mbmf.load_task(task_config())
    with Run.read(controller) as run:
        source = ModelBasedResult.load(run, more)
    imitate(tmp_path / "plain", plain, source)
    observer = Recorder()
    imitate(tmp_path / "more", more, source, observer)
    numbers, before = numbers_of(tmp_path / "more"), numbers_of(tmp_path / "plain")
    # it costs no control steps, and comes after imitation
    assert numbers["metrics"] == before["metrics"]
    summary = numbers["summary"]
    for key in ("steps_total", "points", "loss_validation"):
        assert summary[key] == before["summary"][key]
    assert summary["cloned_reward_mean"] == before["summary"]["reward_mean"]
    assert len(summary["imagined_rewards"]) == 2
    policies = [imitation.load_policy(Run(tmp_path / name), more)[0] for name in ("more", "plain")]
    assert (policies[0].parameter_vector() != policies[1].parameter_vector()).any()
    np.testing.assert_array_equal(policies[0].std, policies[1].std)
    assert observer.stages[-2:] == ["imagine", "imagine: test"]
    assert "6 updates in the model" in observer.notes[-2]
    assert "imagined_rounds" not in summary
    # it begins where all rollouts of MPC have been, and those of the policy
    folder = controller / "rollouts"
    files = [*sorted(folder.glob("iteration_*.npz")), folder / "saved.npz"]
    files += (tmp_path / "more" / "rollouts").glob("iteration_*.npz")
    rollouts = [mbmf.Episodes.load(file) for file in files]
    beginnings, states = begun[0]
    assert len(beginnings) == sum(map(len, rollouts))
    assert len(states) == sum(each.nsteps for each in rollouts)
    for each in rollouts:
        assert (each.states[0, 0] == beginnings).all(axis=1).any()
        assert (each.states[0, each.lengths[0] - 1] == states).all(axis=1).any()
    # what diverged is nowhere that one would begin, and is what an episode of no step is
    bad = dataclasses.replace(
        source.driven[0],
        diverged=np.ones(len(source.driven[0]), bool),
        states=1e9 * np.ones_like(source.driven[0].states),
    )
    beside = dataclasses.replace(source, driven=(bad, *source.driven))
    imitate(tmp_path / "beside", more, beside)
    assert numbers_of(tmp_path / "beside") == numbers
    # what updates depend on may not change on the way
    with pytest.raises(KeyboardInterrupt):
        imitate(tmp_path / "changed", more, source, Recorder(observer.events - 4))
    config = task_config(imitation=IMITATION | {"imagined": imagined})
    config["model_free"] = {**more.model_free.model_dump(), "kl_step": 0.5}
    with pytest.raises(DataError, match=r"model_free\.kl_step must be 0\.5"):
        imitate(tmp_path / "changed", mbmf.load_task(config), source, resume=True)
    # the same on two threads, and after an interruption in the middle of it
    imitate(tmp_path / "threads", more, source, nthread=2)
    assert numbers_of(tmp_path / "threads") == numbers
    for at in (observer.events - 4, observer.events - 2):
        with pytest.raises(KeyboardInterrupt):
            imitate(tmp_path / f"event_{at}", more, source, Recorder(at))
        imitate(tmp_path / f"event_{at}", more, source, resume=True)
        assert numbers_of(tmp_path / f"event_{at}") == numbers


def test_between_rounds_in_the_model_the_policy_acts_and_the_model_learns_from_it(
    tmp_path: Path, controller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[Any, ...]] = []

    def improve(*given: Any, **options: Any) -> Imagined:
        weights = given[2].exported()[0]
        begun.append((weights, len(given[3]), len(given[4]), given[5].iterations, options["begun"]))
        return improve_in_model(*given, **options)

    monkeypatch.setattr(imagination_rounds, "improve_in_model", improve)
    imagined = {
        "iterations": 3,
        "first_iterations": 5,
        "rollouts": 20,
        "steps": 15,
        "std": 0.4,
        "episodes": 4,
    }
    one = mbmf.load_task(task_config(imitation=IMITATION | {"imagined": imagined | {"iterations": 5}}))
    three = mbmf.load_task(task_config(imitation=IMITATION | {"imagined": imagined | {"rounds": 3}}))
    with Run.read(controller) as run:
        source = ModelBasedResult.load(run, three)
        assert ModelBasedResult.load(run, one).random is None
    first = [layer.copy() for layer in source.model.exported()[0]]
    imitate(tmp_path / "one", one, source)
    begun.clear()
    observer = Recorder()
    imitate(tmp_path / "three", three, source, observer)
    numbers, before = numbers_of(tmp_path / "three"), numbers_of(tmp_path / "one")
    summary = numbers["summary"]
    rounds = summary["imagined_rounds"]
    acted = [mbmf.Episodes.load(tmp_path / "three" / "rollouts" / f"acted_{i}.npz") for i in (1, 2)]
    # real episodes count, and are of the policy with its deviation; so do all of MPC, from which the fits
    # learn: the random ones, those of its iterations, and the saved and labelled ones, which count anyway
    driven = [mbmf.Episodes.load(file) for file in sorted((controller / "rollouts").glob("iteration_*.npz"))]
    random = mbmf.Episodes.load(controller / "data/train.npz").nsteps
    steps = random + sum(each.nsteps for each in driven) - source.steps + before["summary"]["steps_total"]
    assert steps > before["summary"]["steps_total"]
    assert [each["round"] for each in rounds] == [1, 2, 3]
    assert [len(each) for each in acted] == [4, 4]
    both = acted[0].nsteps, acted[0].nsteps + acted[1].nsteps
    assert [each["steps_total"] for each in rounds] == [steps + both[0], steps + both[1], steps + both[1]]
    assert summary["steps_total"] == rounds[-1]["steps_total"]
    for record, episodes in zip(rounds, acted, strict=False):
        assert record["returns"] == episodes.returns.tolist()
    # the first round is what one alone is
    assert rounds[0]["imagined_rewards"] == before["summary"]["imagined_rewards"]
    assert summary["imagined_rewards"] == [rounds[0]["imagined_rewards"][0], rounds[2]["imagined_rewards"][1]]
    # each goes on with a model that was fitted to what the policy did, and from where it was
    assert [each[3] for each in begun] == [5, 3, 3]
    for k in (1, 2):
        assert (begun[k][0][0] != begun[k - 1][0][0]).any()
        assert begun[k][1] - begun[k - 1][1] == len(acted[k - 1])
        assert begun[k][2] - begun[k - 1][2] == acted[k - 1].nsteps
    fitted = copy.copy(source.model)
    fitted.fit(
        source.random,
        [*source.driven, acted[0]],
        epochs=three.dynamics.epochs,
        batch_size=three.dynamics.batch_size,
        learning_rate=three.dynamics.learning_rate,
        fraction_use_new=three.dynamics.fraction_use_new,
        noise=three.dynamics.noise,
        seed=derive_seed(0, 28, 1),
    )
    np.testing.assert_array_equal(fitted.exported()[0][0], begun[1][0][0])
    # what they began with stays as it was
    np.testing.assert_array_equal(source.model.exported()[0][0], first[0])
    # what fits depend on may not change on the way
    with pytest.raises(KeyboardInterrupt):
        imitate(tmp_path / "changed", three, source, Recorder(observer.events - 6))
    config = task_config(imitation=IMITATION | {"imagined": imagined | {"rounds": 3}})
    config["model_based"] = {**config["model_based"], "epochs": three.dynamics.epochs + 1}
    with pytest.raises(DataError, match=r"fits\.epochs must be"):
        imitate(tmp_path / "changed", mbmf.load_task(config), source, resume=True)
    # the same on two threads, and after an interruption anywhere in it
    imitate(tmp_path / "threads", three, source, nthread=2)
    assert numbers_of(tmp_path / "threads") == numbers
    # the beginning and the end of eight stages
    assert observer.stages[-8] == "imagine, round 1 of 3"
    for event in range(observer.events - 16, observer.events):
        with pytest.raises(KeyboardInterrupt):
            imitate(tmp_path / f"event_{event}", three, source, Recorder(event))
        imitate(tmp_path / f"event_{event}", three, source, resume=True)
        assert numbers_of(tmp_path / f"event_{event}") == numbers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward_state": [{"source": "contact_force", "body": "foot"}]}, "the reward reads reward_state"),
        (
            {"observation": [{"source": "contact_force", "body": "foot"}]},
            r"the observation has more than the model predicts, the states, got contact_force\.foot\.tx",
        ),
    ],
)
def test_what_cannot_be_imagined_is_refused_as_the_task_is_loaded(change: Any, message: str) -> None:
    config = task_config(imitation=IMITATION | {"imagined": {}}) | change
    with pytest.raises(ConfigError, match=rf"imitation\.imagined must not be given where {message}"):
        mbmf.load_task(config)


def test_imagined_episodes_of_other_sizes_are_refused() -> None:
    for sizes, key in (({"steps": 0}, r"\.steps"), ({"rollouts": 10**6, "steps": 10**6}, "")):
        with pytest.raises(ConfigError, match=rf"imitation\.imagined{key} must be"):
            mbmf.load_task(task_config(imitation=IMITATION | {"imagined": sizes}))
