"""A policy that proposes candidates, in a run of model-based learning: it imitates, and the run resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mbmf
from mbmf.algorithms import model_based
from mbmf.algorithms.cloning import Cloning, examples_of
from mbmf.errors import DataError
from mbmf.runs.mb_result import ModelBasedResult
from mbmf.seeds import derive_seed
from small_mb_run import MODEL_BASED, run_with_a_break, task_config

SETTINGS = {"hidden": [8], "epochs": 2, "batch_size": 16, "proposals": 4, "std": 0.2}


def test_a_run_has_one_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """From the second iteration on, each from the one before; also after an interruption."""
    config = task_config(model_based={**MODEL_BASED, "iterations": 4}, policy=SETTINGS)
    task = mbmf.load_task(config)
    options = model_based.Options(seed=5, nthread=1)
    with model_based.open_run(tmp_path / "whole", task, options) as run:
        model_based.model_based(task, run, options)
    files = [f"models/policy_{i}.safetensors" for i in (2, 3, 4)]
    assert sorted(p.name for p in (run.path / "models").glob("policy_*")) == [Path(f).name for f in files]
    assert ["policy_loss" in record for record in run.metrics()] == [False, True, True, True]
    found = mbmf.load_trained(run.path)
    assert found.policy is not None
    assert found.policy.hidden == (8,)
    assert found.policy.std == pytest.approx(0.2)
    assert mbmf.load_trained(run.path, 1).policy is None
    source = ModelBasedResult.load(run, task).policy  # what labels imitation's rollouts plans with it too
    assert source is not None
    assert (source.parameter_vector() == found.policy.parameter_vector()).all()

    # it imitates the latest episodes, from where the one before was
    before, after = (mbmf.GaussianPolicy.load(run.path / file, task) for file in files[1:])
    data = [mbmf.Episodes.load(run.rollouts(i), task=task) for i in (1, 2, 3)]
    cloning, history = Cloning.start(before).fit(
        examples_of(mbmf.Episodes.concatenate(data)),
        epochs=2,
        batch_size=16,
        learning_rate=0.001,
        rng=np.random.default_rng(derive_seed(5, 7, 4)),
    )
    cloning.write_to(before)
    assert (before.parameter_vector() == after.parameter_vector()).all()
    assert run.metrics()[3]["policy_loss"] == history.losses[-1]

    run_with_a_break(tmp_path / "cut", task, options, after=2)
    for name in files:
        one, two = (mbmf.GaussianPolicy.load(tmp_path / run / name, task) for run in ("whole", "cut"))
        assert (one.parameter_vector() == two.parameter_vector()).all()
    for number in (3, 4, "saved"):
        first, second = (
            mbmf.Episodes.load(tmp_path / name / "rollouts" / file, task=task)
            for name in ("whole", "cut")
            for file in [f"{'' if number == 'saved' else 'iteration_'}{number}.npz"]
        )
        assert all((a == b).all() for a, b in zip(first.actions, second.actions, strict=True))

    # without it the plans are others, from the second iteration on
    plain = mbmf.load_task({**config, "policy": None})
    with model_based.open_run(tmp_path / "plain", plain, options) as bare:
        model_based.model_based(plain, bare, options)
    for number in (1, 2):
        ours, theirs = (mbmf.Episodes.load(each.rollouts(number), task=task) for each in (run, bare))
        same = all((a == b).all() for a, b in zip(ours.actions, theirs.actions, strict=True))
        assert same == (number == 1)

    changed = mbmf.load_task({**config, "policy": {**SETTINGS, "std": 0.1}})
    with pytest.raises(DataError, match=r"task\.policy\.std must be 0\.1 to resume the run"):
        model_based.open_run(tmp_path / "cut", changed, options, resume=True)
    damaged = run.path / files[2]
    damaged.write_bytes(damaged.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"policy_4\.safetensors"):
        mbmf.load_trained(run.path)
    damaged.unlink()
    with pytest.raises(DataError, match=r"policy_4\.safetensors: file must be there"):
        mbmf.load_trained(run.path)


@pytest.mark.parametrize("section", ["value", "policy"])
def test_a_run_that_was_stopped_before_its_helps_plans_as_before(tmp_path: Path, section: str) -> None:
    """Its latest model is there already, and never planned without them."""
    settings: dict[str, Any] = {"hidden": [8], "first_iteration": 2}
    task = mbmf.load_task(task_config(model_based={**MODEL_BASED, "iterations": 4}, **{section: settings}))
    options = model_based.Options(seed=5, nthread=1)

    class Stops(model_based.Silent):
        def stage(self, title: str, total: int) -> Any:
            if title == f"iteration 4: {section}":
                raise KeyboardInterrupt
            return super().stage(title, total)

    with pytest.raises(KeyboardInterrupt), model_based.open_run(tmp_path / "run", task, options) as run:
        model_based.model_based(task, run, options, Stops())
    assert (tmp_path / "run/models/iteration_4.safetensors").is_file()
    found = mbmf.load_trained(tmp_path / "run")
    assert found.iteration == 3
    assert getattr(found, section) is not None
    with pytest.raises(DataError, match=rf"the {section} of iteration 4 must be there, got a run that was"):
        mbmf.load_trained(tmp_path / "run", 4)
    # the first iterations have none
    assert getattr(mbmf.load_trained(tmp_path / "run", 1), section) is None
    # nor has the model of a task that asks for none
    plain = mbmf.load_task(task_config(model_based={**MODEL_BASED, "iterations": 2}))
    with pytest.raises(KeyboardInterrupt), model_based.open_run(tmp_path / "plain", plain, options) as run:
        model_based.model_based(plain, run, options, StopsAtControl())
    assert mbmf.load_trained(tmp_path / "plain").iteration == 2


class StopsAtControl(model_based.Silent):
    def stage(self, title: str, total: int) -> Any:
        if title == "iteration 2: control":
            raise KeyboardInterrupt
        return super().stage(title, total)


def test_a_training_that_diverges_is_reported(tmp_path: Path) -> None:
    task = mbmf.load_task(task_config(model_based={**MODEL_BASED, "iterations": 2}, policy=SETTINGS))
    options = model_based.Options(seed=5, nthread=1)
    notes: list[str] = []

    class Notes(model_based.Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    def diverges(*_: Any, **__: Any) -> Any:
        raise DataError("training of the policy diverged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cloning, "fit", diverges)
        with model_based.open_run(tmp_path / "run", task, options) as run:
            model_based.model_based(task, run, options, Notes())
    assert "iteration 2: no policy proposes candidates: training of the policy diverged" in notes
    assert run.metrics()[1]["policy_loss"] is None
    assert mbmf.load_trained(run.path).policy is None
