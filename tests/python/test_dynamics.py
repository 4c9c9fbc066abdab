"""The dynamics model against plain PyTorch and NumPy, and its files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import mbmf
from mbmf.dynamics.model import DynamicsModel
from mbmf.dynamics.normalization import Statistics, add_noise
from mbmf.errors import DataError


@pytest.fixture(scope="module")
def task() -> mbmf.Task:
    return mbmf.load_task("hopper_forward")


@pytest.fixture(scope="module")
def data(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=6, steps=130, seed=0)


@pytest.fixture(scope="module")
def new_data(task: mbmf.Task) -> mbmf.Episodes:
    return mbmf.collect_random(task, episodes=3, steps=50, seed=1)


@pytest.fixture(scope="module")
def model(task: mbmf.Task, data: mbmf.Episodes) -> DynamicsModel:
    model = DynamicsModel(task, hidden=(48,), seed=4)
    model.fit(data, epochs=4, batch_size=64, seed=2)
    return model


def _plain_prediction(model: DynamicsModel, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Next states in PyTorch, float64: normalise, network, de-normalise, add."""
    assert model.normalization is not None
    delta = model.normalization.delta
    return states + delta.mean + delta.std * _plain_output(model, states, actions)


def _plain_output(model: DynamicsModel, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The network's output: normalised state differences."""
    layers, normal = model.exported()
    x = np.concatenate(
        [
            (states - normal.state.mean) * normal.state.inverse_std,
            (actions - normal.action.mean) * normal.action.inverse_std,
        ],
        axis=1,
    )
    y = torch.from_numpy(x)
    for i, layer in enumerate(layers):
        y = y @ torch.from_numpy(layer[:, :-1].T.astype(np.float64)) + torch.from_numpy(
            layer[:, -1].astype(np.float64)
        )
        if i < len(layers) - 1:
            y = torch.relu(y) if model.activation == "relu" else torch.tanh(y)
    return y.numpy()


@pytest.mark.parametrize(
    ("activation", "hidden"), [("relu", (48,)), ("tanh", (24, 20)), ("relu", (7, 9, 11))]
)
def test_the_core_predicts_what_pytorch_does(
    task: mbmf.Task, data: mbmf.Episodes, activation: str, hidden: tuple[int, ...]
) -> None:
    model = DynamicsModel(task, hidden=hidden, activation=activation)
    model.fit(data, epochs=20, batch_size=64)
    states, actions, next_states = data.transitions()
    predicted = model.predict(states, actions)
    assert predicted.dtype == np.float32
    assert predicted.shape == states.shape
    expected = _plain_prediction(model, states, actions)
    # float32 throughout: rounding relative to the size of the state and of what is added to it
    scale = 1 + np.abs(states).max(axis=0) + 10 * model.normalization.delta.std
    assert (np.abs(predicted - expected) / scale).max() < 2e-6
    assert np.abs(predicted - states).max() > 1e-2
    assert np.mean((predicted - next_states) ** 2) < np.mean((states - next_states) ** 2)


def test_the_losses_are_those_of_plain_pytorch(
    task: mbmf.Task, data: mbmf.Episodes, new_data: mbmf.Episodes
) -> None:
    model = DynamicsModel(task, hidden=(16,))
    progress = []
    result = model.fit(
        data, [new_data], epochs=2, batch_size=64, noise=0.0, progress=lambda *seen: progress.append(seen)
    )
    assert (result.points_old, result.points_new) == (780, 150)
    assert progress == [(1, result.losses[0]), (2, result.loss)]
    for episodes, loss in ((data, result.loss_old), (new_data, result.loss_new)):
        states, actions, next_states = episodes.transitions()
        delta = model.normalization.delta
        targets = (next_states - states - delta.mean) * delta.inverse_std
        error = _plain_output(model, states, actions) - targets
        assert loss == pytest.approx(np.mean(error**2), rel=1e-4)


def test_the_multi_step_error_is_that_of_a_plain_loop(task: mbmf.Task, model: DynamicsModel) -> None:
    episodes = mbmf.Episodes.concatenate(
        [
            mbmf.collect_random(task, episodes=2, steps=23, seed=5),
            mbmf.collect_random(task, episodes=2, steps=20, seed=6),  # not longer than the longest horizon
        ]
    )
    horizons = (1, 5, 20)
    total, count = np.zeros(3), 0
    for e, length in enumerate(episodes.lengths):
        if length <= 20:
            continue
        for t in range(length - 20 + 1):
            state = episodes.states[e, t : t + 1]
            for step in range(1, 21):
                state = _plain_prediction(model, state, episodes.actions[e, t + step - 1][None])
                if step in horizons:
                    error = (state - episodes.states[e, t + step]) * model.normalization.state.inverse_std
                    total[horizons.index(step)] += np.mean(error**2)
            count += 1
    assert count == 2 * 4
    expected = dict(zip(horizons, total / count, strict=True))
    assert model.validation_error(episodes, horizons) == pytest.approx(expected, rel=1e-3)
    # in pieces, and on any number of threads, the same
    for nthread in (1, 2, 3, 7):
        assert model.validation_error(episodes, horizons, nthread=nthread) == model.validation_error(
            episodes, horizons
        )


def test_the_multi_step_error_needs_long_episodes(
    task: mbmf.Task, model: DynamicsModel, new_data: mbmf.Episodes
) -> None:
    message = "validation episodes must be longer than 100 steps for the 100-step error, got lengths up to 50"
    with pytest.raises(DataError, match=message):
        model.validation_error(new_data)


def test_noise_goes_to_columns_of_positive_mean_only() -> None:
    values = np.tile([2.0, -2.0, 0.0, 300.0], (100_000, 1))
    clean = values.copy()
    add_noise(values, 0.01, np.random.default_rng(0))
    np.testing.assert_allclose((values - clean).std(axis=0), [0.02, 0, 0, 3.0], rtol=0.02)
    np.testing.assert_allclose(values.mean(axis=0), clean.mean(axis=0), atol=0.05)
    assert np.array_equal(values[:, 1:3], clean[:, 1:3])


def test_a_dimension_of_no_deviation_maps_to_zero() -> None:
    rng = np.random.default_rng(0)
    values = np.stack(
        [
            rng.normal(3, 2, 1000),
            np.full(1000, 0.1),
            rng.normal(0, 1e-17, 1000),
            1e6 + rng.normal(0, 1e-9, 1000),
        ],
        1,
    )
    statistics = Statistics.of(values)
    assert list(statistics.std > 0) == [True, False, False, False]
    normal = statistics.normalize(values)
    assert normal.dtype == np.float32
    assert not normal[:, 1:].any()
    assert normal[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert normal[:, 0].std() == pytest.approx(1, abs=1e-6)


def test_a_constant_dimension_stays_where_it_is(
    task: mbmf.Task, data: mbmf.Episodes, model: DynamicsModel
) -> None:
    """The hopper moves in a plane: its centre of mass has no motion along y."""
    constant = task.state_names.index("subtree_com.torso.y")
    assert not data.states[:, :, constant].any()
    states, actions, _ = data.transitions()
    assert not model.predict(states, actions)[:, constant].any()


def test_normalisation_is_of_the_first_data_after_noise(
    task: mbmf.Task, data: mbmf.Episodes, new_data: mbmf.Episodes
) -> None:
    model = DynamicsModel(task, hidden=(8,))
    model.fit(data, epochs=1, noise=0.5)
    first = model.normalization
    states, _, _ = data.transitions()
    with_noise = states.mean(axis=0) > 0.1
    assert (first.state.std[with_noise] > 1.01 * states.std(axis=0)[with_noise]).all()
    without = states.mean(axis=0) <= 0
    np.testing.assert_allclose(first.state.std[without], states.std(axis=0)[without])
    model.fit(new_data, data, epochs=1)
    assert model.normalization is first


def test_the_same_seeds_give_the_same_bits(
    task: mbmf.Task, data: mbmf.Episodes, new_data: mbmf.Episodes
) -> None:
    def weights(model_seed: int, fit_seed: int) -> list[np.ndarray]:
        torch.manual_seed(np.random.randint(1000))  # noqa: NPY002 - global state must not matter
        model = DynamicsModel(task, hidden=(500,), seed=model_seed)
        model.fit(data, new_data, epochs=2, seed=fit_seed)
        return model.exported()[0]

    first = weights(0, 0)
    assert all(np.array_equal(a, b) for a, b in zip(first, weights(0, 0), strict=True))
    for other in (weights(1, 0), weights(0, 1)):
        assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_saved_model_is_the_same_and_trains_on_as_if_never_saved(
    tmp_path: Path, task: mbmf.Task, data: mbmf.Episodes, new_data: mbmf.Episodes
) -> None:
    path = tmp_path / "model.safetensors"
    model = DynamicsModel(task, hidden=(32, 16), activation="tanh", seed=7)
    model.fit(data, epochs=2, batch_size=64)
    model.save(path)
    loaded = DynamicsModel.load(path, task)
    assert (loaded.hidden, loaded.activation, loaded.seed) == ((32, 16), "tanh", 7)
    states, actions, _ = data.transitions()
    assert np.array_equal(loaded.predict(states, actions), model.predict(states, actions))
    results = [each.fit(data, new_data, epochs=2, batch_size=64, seed=1) for each in (model, loaded)]
    assert results[0].losses == results[1].losses
    assert np.array_equal(loaded.predict(states, actions), model.predict(states, actions))
    again = tmp_path / "again.safetensors"
    loaded.save(path)
    model.save(again)
    assert path.read_bytes() == again.read_bytes()


def test_an_interrupted_fit_changes_nothing(
    task: mbmf.Task, data: mbmf.Episodes, model: DynamicsModel
) -> None:
    states, actions, _ = data.transitions()
    before, core = model.predict(states, actions), model.core

    def interrupt(epoch: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(data, epochs=2, progress=interrupt)
    assert model.core is core
    assert np.array_equal(model.predict(states, actions), before)


def test_the_compiled_model_follows_a_fit_and_old_ones_stay(task: mbmf.Task, data: mbmf.Episodes) -> None:
    model = DynamicsModel(task, hidden=(8,))
    model.fit(data, epochs=1)
    old = model.core
    assert model.core is old
    states, actions, _ = data.transitions()
    states32 = states.astype(np.float32)
    before = old.predict(states32, actions)
    model.fit(data, epochs=1)
    assert model.core is not old
    assert np.array_equal(old.predict(states32, actions), before)
    assert not np.array_equal(model.predict(states, actions), before)


def test_a_model_is_loaded_and_plans_without_pytorch(tmp_path: Path, model: DynamicsModel) -> None:
    model.save(tmp_path / "model.safetensors")
    script = f"""
import sys
import mbmf
task = mbmf.load_task("hopper_forward")
model = mbmf.DynamicsModel.load({str(tmp_path / "model.safetensors")!r}, task)
planner = mbmf.RandomShooting(task, model, horizon=3, candidates=10)
assert planner.act([0.0] * task.nstate).shape == (3,)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


Damage = Callable[[dict[str, Any], dict[str, str]], None]


def _set(name: str, value: Any) -> Damage:
    return lambda tensors, header: tensors.__setitem__(name, value)


def _header(key: str, value: str) -> Damage:
    def change(tensors: dict[str, Any], header: dict[str, str]) -> None:
        import json

        contents = json.loads(header["mbmf"])
        contents[key] = json.loads(value)
        header["mbmf"] = json.dumps(contents)

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t, h: t.pop("bias.1"), "tensors must be exactly .*, got bias.1 missing and none unknown"),
        (_set("extra", np.zeros(1)), "tensors must be exactly .*, got none missing and extra unknown"),
        (_set("bias.0", np.zeros(47, np.float32)), r"bias.0 must be float32 \(48,\), got float32 \(47,\)"),
        (_set("bias.0", np.zeros(48)), r"bias.0 must be float32 \(48,\), got float64 \(48,\)"),
        (_set("bias.0", np.full(48, np.nan, np.float32)), "bias.0 must be finite, got NaN or infinity"),
        (_set("state.std", np.full(17, -1.0)), "state.std must be non-negative, got -1.0"),
        (lambda t, h: h.clear(), "file must be a dynamics model of mbmf"),
        (_header("format", '"other"'), "file must be a dynamics model of mbmf"),
        (_header("format_version", "99"), "format_version must be 1 or 2, got 99"),
        (_header("task", '"ant"'), "task must be 'hopper_forward', as of task hopper_forward, got 'ant'"),
        (_header("nstate", "16"), "nstate must be 17, .*, got 16"),
        (_header("state_names", '["x"]'), r"state_names must be \['qpos.*, got \['x'\]"),
        (_header("hidden", "[]"), r"hidden must be one or more positive integers, got \[\]"),
        (_header("hidden", "[40]"), r"weight.0 must be float32 \(40, 20\), got float32 \(48, 20\)"),
        (_header("hidden", '["x"]'), r"hidden must be one or more positive integers, got \['x'\]"),
        (_header("activation", '"elu"'), "activation must be one of relu, tanh, silu, got 'elu'"),
        (_header("updates", "-1"), "updates must be non-negative, got -1"),
        (_header("seed", "null"), "seed must be of type int, got None"),
    ],
)
def test_a_wrong_model_file_is_named_with_what_is_wrong(
    tmp_path: Path, task: mbmf.Task, model: DynamicsModel, damage: Damage, message: str
) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    tensors = load_file(path)
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
    damage(tensors, header)
    save_file(tensors, path, header)
    with pytest.raises(DataError, match=f"model.safetensors: {message}"):
        DynamicsModel.load(path, task)


def test_a_truncated_missing_or_foreign_model_file_is_named(
    tmp_path: Path, task: mbmf.Task, model: DynamicsModel
) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(DataError, match=r"model\.safetensors: dynamics model file must exist, got none"):
        DynamicsModel.load(path, task)
    model.save(path)
    whole = path.read_bytes()
    for contents in (whole[:-1], whole[:100], b"", b"not a model at all"):
        path.write_bytes(contents)
        with pytest.raises(
            DataError, match=r"model\.safetensors: dynamics model file must be a whole safetensors file"
        ):
            DynamicsModel.load(path, task)


def _with(data: mbmf.Episodes, field: str, value: float) -> mbmf.Episodes:
    """A copy with one number changed after the checks of Episodes."""
    changed = data.select(np.arange(len(data)))
    getattr(changed, field).flat[3] = value
    return changed


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda t, d: DynamicsModel(t, hidden=()),
            ValueError,
            r"hidden must be one or more positive integers, got \(\)",
        ),
        (lambda t, d: DynamicsModel(t, hidden=(0,)), ValueError, r"hidden must be .*, got \(0,\)"),
        (
            lambda t, d: DynamicsModel(t, activation="elu"),
            ValueError,
            "activation must be one of relu, tanh, silu, got 'elu'",
        ),
        (lambda t, d: DynamicsModel(t, seed=-1), ValueError, "seed must be non-negative, got -1"),
        (lambda t, d: DynamicsModel(t).fit(d, epochs=0), ValueError, "epochs must be at least 1, got 0"),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=1, batch_size=0),
            ValueError,
            "batch_size must be at least 1, got 0",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=1, learning_rate=0.0),
            ValueError,
            "learning_rate must be positive",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=1, fraction_use_new=1.5),
            ValueError,
            "fraction_use_new must be from 0",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=1, noise=-0.1),
            ValueError,
            r"noise must be from 0 to 1e\+06, got -0.1",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=1, nthread=0),
            ValueError,
            "nthread must be at least 1, got 0",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=1, seed=-2),
            ValueError,
            "seed must be non-negative, got -2",
        ),
        (
            lambda t, d: DynamicsModel(mbmf.load_task("swimmer_forward")).fit(d, epochs=1),
            DataError,
            "data must be of task swimmer_forward, got hopper_forward",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d.select(np.zeros(len(d), bool)), epochs=1),
            DataError,
            "data must have at least one step, got none in 0 episodes",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(_with(d, "states", np.nan), epochs=1),
            DataError,
            "data.states must be finite",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, _with(d, "actions", np.inf), epochs=1),
            DataError,
            r"new_data\[0\].actions must be finite, got NaN or infinity",
        ),
        (
            lambda t, d: DynamicsModel(t).core,
            DataError,
            "the dynamics model has no weights yet: fit it or load it first",
        ),
        (
            lambda t, d: DynamicsModel(t).fit(d, epochs=60, batch_size=8, learning_rate=1e30),
            DataError,
            "training of the dynamics model diverged .*: learning_rate must be smaller",
        ),
    ],
)
def test_bad_arguments_are_named(
    task: mbmf.Task, data: mbmf.Episodes, call: Callable[..., Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(task, data)
