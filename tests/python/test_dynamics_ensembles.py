"""Dynamics models with members, variances and maps: fits, files, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import mbmf
from dynamics_oracle import NumpyDynamics
from mbmf.dynamics.normalization import Normalization
from mbmf.errors import DataError
from mbmf.nn import memory
from small_ensemble import ANGLE, FIT, MAPS, PLACE, SMALL


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("hopper_forward")


@pytest.fixture(scope="module")
def data(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=4, steps=80, seed=0)


@pytest.fixture(scope="module")
def new_data(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=2, steps=50, seed=1)


@pytest.fixture(scope="module")
def model(task: mbmf.Task, data: mbmf.Episodes) -> mbmf.DynamicsModel:
    model = mbmf.DynamicsModel(task, **SMALL, **MAPS, seed=4)
    model.fit(data, **FIT)
    return model


def _same(a: mbmf.DynamicsModel, b: mbmf.DynamicsModel) -> bool:
    first, second = a._state(), b._state()
    names = ("layers", "first", "second")
    pairs = [
        pair
        for name in names
        for pair in zip(getattr(first.mlp, name), getattr(second.mlp, name), strict=True)
    ]
    pairs += [(getattr(first.mlp, name), getattr(second.mlp, name)) for name in ("bounds", "bounds_first")]
    for name in ("state", "action", "delta", "seen"):
        one, two = getattr(first.normalization, name), getattr(second.normalization, name)
        pairs += [(one.mean, two.mean), (one.std, two.std)]
    return first.elites == second.elites and all(np.array_equal(one, two) for one, two in pairs)


def test_what_is_seen_and_what_is_predicted(task: mbmf.Task, data: mbmf.Episodes) -> None:
    model = mbmf.DynamicsModel(task, **SMALL, **MAPS)
    model.fit(data, **FIT)
    states, _, next_states = data.transitions()
    place, angle, speed = (task.state_names.index(name) for name in (PLACE, ANGLE, "qvel.rootx"))
    assert model.sizes == (task.nstate + task.naction, 12, 10, 2 * task.nstate)  # one more, one less
    normal = model.normalization
    seen = [np.sin(states[:, angle]), np.cos(states[:, angle])]
    at = angle - (place < angle)
    np.testing.assert_allclose(normal.seen.mean[at : at + 2], np.mean(seen, axis=1))
    np.testing.assert_allclose(normal.seen.std[at : at + 2], np.maximum(np.std(seen, axis=1), 0.25))
    assert len(normal.state.mean) == task.nstate
    assert normal.state.std[place] > 0
    predicted = next_states - states
    predicted[:, speed] = next_states[:, speed]
    np.testing.assert_allclose(normal.delta.mean, predicted.mean(axis=0))
    np.testing.assert_allclose(normal.delta.std, predicted.std(axis=0), atol=1e-12)


def test_the_cosine_of_an_angle_that_hardly_changes_is_divided_by_a_quarter() -> None:
    rng = np.random.default_rng(0)
    angles, others = 0.05 * rng.normal(size=(500, 1)), 0.001 * rng.normal(size=(500, 1))
    actions = rng.normal(size=(500, 1)).astype(np.float32)
    states = np.concatenate([angles, others], axis=1)
    normal = Normalization.of(states, actions, states, ["sine_cosine", "value"])
    np.testing.assert_allclose(normal.seen.std[:2], 0.25)
    np.testing.assert_allclose(normal.seen.std[2], others.std())
    still = Normalization.of(np.zeros((500, 1)), actions, states[:, :1], ["sine_cosine"])
    assert not still.seen.std.any()


def test_the_losses_are_those_of_numpy(task: mbmf.Task, data: mbmf.Episodes, new_data: mbmf.Episodes) -> None:
    model = mbmf.DynamicsModel(task, **SMALL, **MAPS)
    result = model.fit(data, new_data, **FIT)
    core = NumpyDynamics(model)
    totals = np.zeros(3)
    for episodes, found in ((data, result.loss_old), (new_data, result.loss_new)):
        states, actions, next_states = episodes.transitions()
        means, deviations = core.predict_members(states, actions)
        inverse = model.normalization.delta.inverse_std
        squares = np.square((means - next_states) * inverse)
        assert found == pytest.approx(squares.mean(), rel=1e-4)
        lower = model._state().mlp.bounds[1]
        with np.errstate(divide="ignore"):
            scaled = np.where(inverse > 0, 2 * np.log(deviations * inverse), np.nan)
        assert (scaled[..., inverse > 0] > lower[inverse > 0]).all()
        # a constant dimension has the log variance that the network says, which the deviation does not show
        moving = inverse > 0
        likelihood = squares[..., moving] * np.exp(-scaled[..., moving]) + scaled[..., moving]
        totals += likelihood.sum((1, 2))
    assert result.likelihoods is not None
    assert len(result.member_losses) == 3
    if all(model.normalization.delta.std > 0):
        count = (data.nsteps + new_data.nsteps) * task.nstate
        np.testing.assert_allclose(result.member_losses, totals / count, rtol=1e-4)


@pytest.mark.parametrize("statistics", ["kept", "refitted"])
def test_a_saved_model_trains_on_as_if_never_saved(
    tmp_path: Path,
    task: mbmf.Task,
    data: mbmf.Episodes,
    new_data: mbmf.Episodes,
    statistics: str,
) -> None:
    options = {
        **SMALL,
        **MAPS,
        "elites": 2,
        "particles": 4,
        "propagate": "ts1",
        "risk": 0.5,
        "weight_decay": [1e-4, 2e-4, 3e-4],
        "statistics": statistics,
        "bootstrap": True,
        "beta": 0.5,
        "seed": 7,
    }
    path = tmp_path / "model.safetensors"
    model = mbmf.DynamicsModel(task, **options)
    model.fit(data, **FIT, validation_share=0.2)
    model.save(path)
    loaded = mbmf.DynamicsModel.load(path, task)
    assert loaded.settings == model.settings
    assert _same(model, loaded)
    before = model.normalization
    results = [
        each.fit(data, new_data, **FIT, seed=1, validation_share=0.2, patience=2) for each in (model, loaded)
    ]
    assert results[0].losses == results[1].losses
    assert results[0].member_losses == results[1].member_losses
    assert _same(model, loaded)
    assert (model.normalization is before) == (statistics == "kept")
    again = tmp_path / "again.safetensors"
    loaded.save(path)
    model.save(again)
    assert path.read_bytes() == again.read_bytes()
    tensors = load_file(path)
    assert tensors["weight.1"].shape == (3, 10, 12)
    assert tensors["bounds"].shape == (2, task.nstate)


def test_a_file_of_version_1_loads(tmp_path: Path, task: mbmf.Task, data: mbmf.Episodes) -> None:
    """One network's file is as it was, but for the header's new fields."""
    model = mbmf.DynamicsModel(task, hidden=(8,), seed=3)
    model.fit(data, epochs=1)
    model.save(tmp_path / "new.safetensors")
    header = _header(tmp_path / "new.safetensors")
    for key in ("kind", "settings", "elites"):
        del header[key]
    save_file(
        load_file(tmp_path / "new.safetensors"),
        tmp_path / "old.safetensors",
        {"mbmf": json.dumps({**header, "format_version": 1})},
    )
    loaded = mbmf.DynamicsModel.load(tmp_path / "old.safetensors", task)
    assert loaded.settings == model.settings
    assert loaded.elites == (0,)
    results = [each.fit(data, epochs=1) for each in (model, loaded)]
    assert results[0].losses == results[1].losses


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "tree"}, "kind must be mlp-ensemble, got 'tree'"),
        ({"elites": [0, 3]}, r"elites must be members from 0 to 2, got \[0, 3\]"),
        ({"elites": [1, 1]}, r"elites must be members from 0 to 2, got \[1, 1\]"),
        ({"elites": []}, r"elites must be members from 0 to 2, got \[\]"),
        ({"elites": None}, "elites must be of type list, got nothing"),
        ({"settings": {"member": 3}}, "settings must be those of a model, got {'member': 3}"),
        ({"settings": {"members": 0}}, "settings: members must be from 1 to 1000, got 0"),
        ({"settings": {"members": 3}}, r"tensors must be exactly .*, got none missing and adam.first.bounds"),
        ({"settings": {"inputs": {"x": "nothing"}}}, "settings: inputs must name states"),
    ],
)
def test_a_wrong_header_is_named_with_what_is_wrong(
    tmp_path: Path,
    task: mbmf.Task,
    data: mbmf.Episodes,
    model: mbmf.DynamicsModel,
    changes: dict[str, Any],
    message: str,
) -> None:
    model.save(tmp_path / "model.safetensors")
    header = {**_header(tmp_path / "model.safetensors"), **changes}
    tensors = load_file(tmp_path / "model.safetensors")
    save_file(tensors, tmp_path / "wrong.safetensors", {"mbmf": json.dumps(header)})
    with pytest.raises(DataError, match=f"wrong.safetensors: {message}"):
        mbmf.DynamicsModel.load(tmp_path / "wrong.safetensors", task)


def _header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="numpy") as file:
        header: dict[str, Any] = json.loads(file.metadata()["mbmf"])
    return header


def test_the_same_seeds_give_the_same_bits_and_members_differ(task: mbmf.Task, data: mbmf.Episodes) -> None:
    def fitted(seed: int, fit_seed: int) -> mbmf.DynamicsModel:
        model = mbmf.DynamicsModel(task, **SMALL, seed=seed, bootstrap=True)
        model.fit(data, **FIT, seed=fit_seed)
        return model

    first = fitted(0, 0)
    assert _same(first, fitted(0, 0))
    assert not _same(first, fitted(1, 0))
    assert not _same(first, fitted(0, 1))
    for layer in first._state().mlp.layers:
        assert not np.array_equal(layer[0], layer[1])


def test_elites_are_the_members_with_the_least_held_out_loss(task: mbmf.Task, data: mbmf.Episodes) -> None:
    model = mbmf.DynamicsModel(task, **{**SMALL, "members": 5}, elites=2)
    result = model.fit(data, **FIT, validation_share=0.25)
    best = tuple(sorted(np.argsort(result.member_losses)[:2].tolist()))
    assert model.elites == result.elites == best
    assert result.held_out_loss == pytest.approx(np.mean(result.member_losses))
    layers, _ = model.exported()
    assert [layer.shape[0] for layer in layers] == [2] * 3
    assert np.array_equal(layers[0], model._state().mlp.layers[0][list(best)])


def test_outputs_that_no_prediction_reads_judge_nobody() -> None:
    """Goals are given: their outputs are multiplied by 0."""
    task = mbmf.load_task("pets_reacher")
    data = mbmf.collect_random(task, 1, 60, seed=0)
    model = mbmf.DynamicsModel(task, hidden=(8,), members=4, probabilistic=True, elites=2)
    fitted = model.fit(data, epochs=3, batch_size=16, noise=0.0, validation_share=0.3)
    changed = mbmf.DynamicsModel(task, hidden=(8,), members=4, probabilistic=True, elites=2)
    goal = task.state_names.index("goal.x")
    from mbmf.dynamics import fitting

    start = fitting._start

    def spoiled(*args: Any) -> Any:
        state = start(*args)
        for k in range(3):
            state.layers[-1][:2, task.nstate + goal + k, -1] += 50.0
        return state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "_start", spoiled)
        other = changed.fit(data, epochs=3, batch_size=16, noise=0.0, validation_share=0.3)
    assert other.elites == fitted.elites
    np.testing.assert_allclose(other.member_losses, fitted.member_losses, rtol=5e-3)


def test_a_member_that_explodes_leaves_the_bounds_alone(
    task: mbmf.Task, data: mbmf.Episodes, tmp_path: Path
) -> None:
    model = mbmf.DynamicsModel(task, hidden=(16,), members=3, probabilistic=True)
    model.fit(data, epochs=1, batch_size=64, noise=0.0)
    before = model._state().mlp
    before.layers[-1][0, : task.nstate] *= 1e15
    result = model.fit(data, epochs=3, batch_size=32, noise=0.0, drop_failed=True)
    assert result.failed == (0,)
    after = model._state().mlp
    assert after.has_finite_bounds()
    model.save(tmp_path / "model.safetensors")
    assert mbmf.DynamicsModel.load(tmp_path / "model.safetensors", task).elites == (1, 2)


def test_holding_out_all_old_points_is_refused() -> None:
    task = mbmf.load_task("hopper_forward")
    old, new = mbmf.collect_random(task, 1, 1, seed=0), mbmf.collect_random(task, 1, 9, seed=1)
    model = mbmf.DynamicsModel(task, hidden=(8,))
    refused: list[str] = []
    for seed in range(8):
        try:
            model.fit(old, new, batch_size=4, epochs=1, fraction_use_new=0.0, validation_share=0.5, seed=seed)
        except DataError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 8
    assert all("validation_share must leave an old point to train on" in text for text in refused)


def test_it_stops_early(task: mbmf.Task, data: mbmf.Episodes) -> None:
    model = mbmf.DynamicsModel(task, hidden=(64,), activation="silu", members=2)
    few = data.select(np.arange(1))
    result = model.fit(
        few, epochs=400, batch_size=8, learning_rate=1e-2, noise=0.0, validation_share=0.5, patience=3
    )
    assert result.epochs == len(result.losses) == result.best_epoch + 3 < 400


@pytest.mark.parametrize("state", [ANGLE, PLACE])
def test_numbers_that_have_no_spread_are_named(task: mbmf.Task, data: mbmf.Episodes, state: str) -> None:
    """What would be saved could not be loaded. A sine has a spread, whatever its angle."""
    states = data.states.copy()
    states[0, 3, task.state_names.index(state)] = 1e200
    model = mbmf.DynamicsModel(task, **SMALL)
    with pytest.raises(DataError, match=rf"states must be below 1e150, .* got more \({state}\)"):
        model.fit(dataclasses.replace(data, states=states), **FIT)
    with pytest.raises(DataError, match="no weights yet"):
        model.save("never.safetensors")


def test_one_data_point_works(task: mbmf.Task, data: mbmf.Episodes) -> None:
    episodes = mbmf.collect_random(task, episodes=1, steps=1, seed=0)
    assert episodes.nsteps == 1
    for options in ({}, SMALL):
        model = mbmf.DynamicsModel(task, **options)
        result = model.fit(episodes, epochs=2, noise=0.0)
        assert np.isfinite(result.losses).all()
        # nothing varies in one point, and it says so of every state
        assert all(name in result.warnings[0] for name in task.state_names)
        prediction = NumpyDynamics(model).predict(*episodes.transitions()[:2])
        np.testing.assert_allclose(prediction, episodes.transitions()[2], atol=1e-6)
    message = "validation_share must hold out at least one point and leave one, got 0.5 of 1"
    with pytest.raises(DataError, match=message):
        model.fit(episodes, epochs=2, validation_share=0.5)


def test_states_that_hardly_move_are_seen_or_named(task: mbmf.Task, data: mbmf.Episodes) -> None:
    """A can beside a wall: at -0.6, plus or minus a few billionths, which the core resolves; or one that
    float64 rounds away."""
    at = task.state_names.index(PLACE)
    for deviation, is_seen in ((5e-9, True), (1e-12, False)):
        states = data.states.copy()
        states[:, :, at] = -0.6 + deviation * np.random.default_rng(0).standard_normal(states.shape[:2])
        still = dataclasses.replace(data, states=states)
        model = mbmf.DynamicsModel(task, hidden=(16,))
        result = model.fit(still, epochs=2, noise=0.0)
        assert any(PLACE in warning for warning in result.warnings) != is_seen
        assert (model.normalization.state.std[at] > 0) == is_seen
        x, actions, _ = still.transitions()
        predicted, expected = model.predict(x, actions), NumpyDynamics(model).predict(x, actions)
        scale = np.abs(x).max(axis=0) + 10 * model.normalization.delta.std
        assert (np.abs(predicted - expected) <= 2e-6 * scale).all()


@pytest.mark.parametrize("mean", [-0.6, 1e3, 1e6])
def test_far_states_that_move_little_spoil_no_prediction(
    task: mbmf.Task, data: mbmf.Episodes, mean: float
) -> None:
    at = task.state_names.index(PLACE)
    others = np.arange(task.nstate) != at
    for relative in (1e-3, 1e-5, 1e-7):
        states = data.states.copy()
        moved = np.random.default_rng(0).standard_normal(states.shape[:2])
        states[:, :, at] = mean + relative * abs(mean) * moved
        far = dataclasses.replace(data, states=states)
        model = mbmf.DynamicsModel(task, hidden=(16,))
        model.fit(far, epochs=2, noise=0.0)
        assert model.normalization.state.std[at] > 0
        x, actions, _ = far.transitions()
        error = np.abs(model.predict(x, actions) - NumpyDynamics(model).predict(x, actions))
        assert (error[:, others] <= 1e-4 * model.normalization.delta.std[others] + 1e-6).all()
        assert error[:, at].max() <= 2e-7 * np.abs(x[:, at]).max()  # a prediction is a float32


def test_sines_that_float32_rounds_away_are_constant(task: mbmf.Task, data: mbmf.Episodes) -> None:
    states = data.states.copy()
    at = task.state_names.index(ANGLE)
    states[:, :, at] = 0.8 + 5e-9 * np.random.default_rng(0).standard_normal(states.shape[:2])
    model = mbmf.DynamicsModel(task, hidden=(16,), inputs={ANGLE: "sine and cosine"})
    model.fit(dataclasses.replace(data, states=states), epochs=1, noise=0.0)
    assert not model.normalization.seen.std[at : at + 2].any()
    assert model.normalization.state.std[at] > 0


def test_a_member_that_is_not_finite_is_named_or_left_behind(
    task: mbmf.Task, data: mbmf.Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mbmf.DynamicsModel(task, **SMALL, particles=6)
    model.fit(data, **FIT)
    kept = [layer[1].copy() for layer in model._state().mlp.layers]
    from mbmf.nn import training

    train = training.Trainer.train

    def spoiled(self: training.Trainer, *args: Any, **kwargs: Any) -> Any:
        self._layers[0][1, 0, 0] = float("nan")
        return train(self, *args, **kwargs)

    monkeypatch.setattr(training.Trainer, "train", spoiled)
    with pytest.raises(DataError, match=r"diverged in member 1 \(loss nan .*learning_rate must be smaller"):
        model.fit(data, **FIT)
    assert np.array_equal(model._state().mlp.layers[0][1], kept[0])
    result = model.fit(data, **FIT, drop_failed=True)
    assert result.failed == (1,)
    assert model.elites == result.elites == (0, 2)
    assert np.isnan(result.member_losses[1])
    assert "member 1 failed: its loss was not finite" in result.warnings
    for layer, before in zip(model._state().mlp.layers, kept, strict=True):
        assert np.isfinite(layer).all()
        assert np.array_equal(layer[1], before)
    monkeypatch.undo()
    assert model.fit(data, **FIT, drop_failed=True).elites == (0, 1, 2)


def test_variances_that_collapse_are_named(task: mbmf.Task, data: mbmf.Episodes) -> None:
    model = mbmf.DynamicsModel(task, **SMALL)
    assert not any("variance" in text for text in model.fit(data, **FIT).warnings)
    state = model._state().mlp
    state.layers[-1][:, task.nstate + 1, :] = 0
    state.layers[-1][:, task.nstate + 1, -1] = -40
    state.bounds[:, 2] = (-3.0, -1.0)
    warnings = model.fit(data, **{**FIT, "epochs": 1}, learning_rate=1e-7).warnings
    collapsed = next(text for text in warnings if "collapsed" in text)
    crossed = next(text for text in warnings if "crossed" in text)
    assert task.state_names[1] in collapsed
    assert task.state_names[2] in crossed
    assert task.state_names[2] not in collapsed
    # which is worth a word, and no end of a run
    states, actions, _ = data.transitions()
    assert np.isfinite(model.predict(states[:5], actions[:5])).all()


def test_a_training_that_does_not_fit_is_refused_before_it_begins(
    task: mbmf.Task, data: mbmf.Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mbmf.DynamicsModel(task, hidden=(1 << 20, 1 << 20))
    message = "hidden and members must need at most the memory that is free, .* GiB, got a training that"
    with pytest.raises(DataError, match=f"{message} needs 4.* GiB .1,099,"):
        model.fit(data, epochs=1)
    monkeypatch.setattr(memory, "available_memory", lambda: 10 << 20)
    mbmf.DynamicsModel(task, hidden=(8,)).fit(data, epochs=1)
    with pytest.raises(DataError, match="10 MiB, got a training that needs"):
        mbmf.DynamicsModel(task, **{**SMALL, "hidden": (100, 100), "members": 20}).fit(data, epochs=1)


Call = Callable[[mbmf.Task, mbmf.Episodes], Any]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": 0}, "members must be from 1 to 1000, got 0"),
        ({"probabilistic": 1}, "probabilistic must be true or false, got 1"),
        ({"members": 3, "elites": 4}, "elites must be from 1 to members = 3, got 4"),
        ({"propagate": "ts2"}, r"propagate must be one of expectation, ts1, tsinf .*, got 'ts2'"),
        ({"propagate": "ts1"}, "propagate must be expectation for one member that is not prob.*, got ts1"),
        (
            {"members": 3, "probabilistic": True, "particles": 20},
            "particles must be divisible by the 3 members that plan, got 20",
        ),
        ({"members": 3, "particles": 6}, "particles must be 3, one for each member that plans, .*, got 6"),
        ({"risk": 1.0}, "risk must be 0 where one member plans .*, got 1"),
        ({"members": 2, "risk": float("nan")}, "risk must be from -1e.06 to 1e.06, got nan"),
        ({"weight_decay": [1e-4]}, "weight_decay must be .* the 2 layers, got 1"),
        ({"weight_decay": -1.0}, "weight_decay must be from 0 to 1e.06, got -1"),
        ({"statistics": "new"}, "statistics must be one of kept, refitted, got 'new'"),
        ({"beta": 0.5}, "beta must be 0 where the model is not probabilistic, got 0.5"),
        ({"probabilistic": True, "beta": 1.5}, "beta must be from 0 to 1, got 1.5"),
        ({"bootstrap": "yes"}, "bootstrap must be true or false, got 'yes'"),
        ({"inputs": {"qpos.rooty1": "nothing"}}, r"inputs must name states \(.*nearest: qpos.rooty.*, got"),
        ({"inputs": {ANGLE: "cosine"}}, r"inputs\['qpos.rooty'\] must be one of as it is, .*, got 'cosine'"),
        ({"outputs": {ANGLE: "nothing"}}, "must be one of difference, value, rotation, .*got 'nothing'"),
        ({"outputs": [ANGLE]}, "outputs must be a mapping from names of states to words"),
    ],
)
def test_settings_that_do_not_fit_are_named(task: mbmf.Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mbmf.DynamicsModel(task, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 2}, "patience must be given with a validation_share above 0, got 2"),
        ({"validation_share": 1.0}, "validation_share must be below 1, got 1"),
        ({"validation_share": 0.2, "patience": 0}, "patience must be at least 1, got 0"),
    ],
)
def test_fits_that_cannot_be_are_named(
    task: mbmf.Task, data: mbmf.Episodes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        mbmf.DynamicsModel(task, hidden=(4,)).fit(data, epochs=1, **options)
