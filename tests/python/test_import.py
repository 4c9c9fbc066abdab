"""`import mbmf` is quick, does without PyTorch, has every public name, and says what is wrong with MuJoCo."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mbmf

REMEDY = "this build of mbmf needs MuJoCo 4.0.0; run `pip install mujoco==4.0.0`"


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_import_is_quick_and_without_torch() -> None:
    code = "import sys, time; t = time.perf_counter(); import mbmf; t = time.perf_counter() - t; "
    runs = [python(code + "print(t, *sys.modules)").split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in runs) < 0.5
    modules = runs[0][1:]
    assert not {"torch", "matplotlib", "tensorboard"} & set(modules)


def test_learning_imports_torch_only_when_it_trains() -> None:
    """A finished run's --resume answers in under a second."""
    for name in ("model_based", "imitation", "model_free", "fine_tune"):
        assert python(f"import sys, mbmf.algorithms.{name}; print('torch' in sys.modules)") == "False"


def test_import_registers_the_environments() -> None:
    code = "import mbmf, gymnasium; print(*(name for name in gymnasium.registry if name.startswith('mbmf/')))"
    names = {"mbmf/Swimmer-v0", "mbmf/HalfCheetah-v0", "mbmf/Hopper-v0", "mbmf/Ant-v0"}
    names |= {f"mbmf/Gym{robot}-v5" for robot in ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Swimmer")}
    names |= {"mbmf/PetsPusher-v0", "mbmf/PetsReacher-v0"}
    assert set(python(code).split()) == names


def test_planning_and_simulating_do_not_import_torch() -> None:
    code = """
import sys
import mbmf
import numpy as np
task = mbmf.load_task("swimmer_forward")
mbmf.Simulator(task).step(np.zeros((1, 2)))
one, size = np.ones, task.nstate
dynamics = mbmf._core.Dynamics(
    size, 2, [np.zeros((size, size + 2), np.float32)], [np.zeros(size, np.float32)], "relu",
    one(size) - 1, one(size), one(2) - 1, one(2), one(size) - 1, one(size))
mbmf.RandomShooting(task, dynamics, horizon=2, candidates=5).act(np.zeros(size))
print("torch" in sys.modules)
"""
    assert python(code) == "False"


@pytest.mark.parametrize("name", mbmf.__all__)
def test_public_name(name: str) -> None:
    assert getattr(mbmf, name) is not None
    assert name in dir(mbmf)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'mbmf' has no attribute 'Plannner'"):
        mbmf.Plannner  # noqa: B018


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (
            "class Finder:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'mbmf._core':\n"
            "            raise ImportError('libmujoco.so.4.0.0: cannot open shared object file')\n"
            "sys.meta_path.insert(0, Finder())",
            f"{REMEDY} (libmujoco.so.4.0.0: cannot open",
        ),
        (
            "import types\n"
            "core = types.ModuleType('mbmf._core')\n"
            "core.mujoco_version, core.mujoco_version_loaded = lambda: '4.0.0', lambda: '4.0.1'\n"
            "sys.modules['mbmf._core'] = core",
            f"MuJoCo 4.0.1 is loaded, but {REMEDY}",
        ),
    ],
)
def test_wrong_mujoco(breakage: str, message: str) -> None:
    code = f"import sys\n{breakage}\ntry:\n    import mbmf\nexcept ImportError as error:\n    print(error)"
    assert python(code).startswith(message)


def test_versions_agree() -> None:
    from importlib.metadata import version

    assert mbmf.__version__ == version("mbmf")
    assert mbmf._core.mujoco_version() == mbmf._core.mujoco_version_loaded() == version("mujoco")
