"""The code that the pages show: Python runs, task files load, command lines parse, C++ compiles."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

import mbmf
from mbmf.cli import main as cli
from mbmf.cli.parse import parse
from pages import PAGES, ROOT, blocks, commands, name_of

# README's is in test_readme.py
WITH_PYTHON = [page for page in PAGES[1:] if any(block.language == "python" for block in blocks(page))]

# what a page's Python is run with in place of what it says: the same with less to do
SMALLER = {
    "docs/values.md": {"episodes=20": "episodes=3", "(100, 100)": "(16,)", "epochs=20": "epochs=1"},
    "docs/ensembles.md": {"(200, 200, 200)": "(16,)", "epochs=60": "epochs=1", "steps=1000": "steps=120"},
    "docs/howto/model_errors.md": {"epochs=10": "epochs=1", "333": "110", "episodes=10": "episodes=2"},
    "docs/howto/not_learning.md": {"steps=100": "steps=3", "(200,)": "(16,)", "epochs=10": "epochs=1"},
    "docs/tutorials/expert.md": {"range(333)": "range(20)"},
    "docs/tutorials/own_robot.md": {"episodes=100": "episodes=4", "epochs=30": "epochs=1", "250": "5"},
}


def _robot(scope: dict[str, Any]) -> None:
    """A robot that is there for three looks, and whose clock is Python's."""
    looks = iter([True, True, True, False])
    scope |= {"time": time, "running": lambda: next(looks), "drive_robot": lambda action: None}
    scope["stop"] = np.zeros(2)  # where the plan is late: on a busy machine it is
    scope["read_robot"] = lambda: mbmf.collect_random(mbmf.load_task("swimmer_forward"), 1, 1).states[0, 0]


def _policy(scope: dict[str, Any]) -> None:
    """The policy of a finished fine-tuning."""
    folder = Path("runs/run_1/mbmf_std1_1/policy")
    folder.mkdir(parents=True)
    mbmf.GaussianPolicy(mbmf.load_task("swimmer_forward")).save(folder / "policy.safetensors")


def _cartpole(scope: dict[str, Any]) -> None:
    """The robot and the task that the page writes."""
    page = blocks(ROOT / "docs" / "tutorials" / "own_robot.md")
    for language, name in (("xml", "cartpole.xml"), ("yaml", "cartpole.yaml")):
        (text,) = [block.text for block in page if block.language == language]
        Path(name).write_text(text)


# what a page's Python finds in its folder or among its names
PREPARED: dict[str, Callable[[dict[str, Any]], None]] = {
    "docs/deployment.md": _robot,
    "docs/tutorials/expert.md": _policy,
    "docs/tutorials/own_robot.md": _cartpole,
}

# the task that what a page shows of a file is a part of
PARTS = {
    "docs/values.md": "gym_half_cheetah",
    "docs/ensembles.md": "gym_half_cheetah",
    "docs/planning.md": "cheetah_forward",
    "docs/recipes.md": "cheetah_forward",
    "docs/presets.md": "swimmer_forward",
    "docs/tasks.md": "swimmer_trajfollow",
}


@pytest.fixture
def folder(tmp_path: Path, small_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder but for a run, which is the present one."""
    shutil.copytree(small_runs / "run_1", tmp_path / "runs" / "run_0")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_of_a_known_language(page: Path) -> None:
    for block in blocks(page):
        assert block.language in ("", "bash", "text", "python", "yaml", "xml", "cpp", "cmake"), block.line
        assert block.not_run is None or len(block.not_run) > 20, block.line


@pytest.mark.filterwarnings("ignore:.*a Python function for the reward:UserWarning")
@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_runs(page: Path, folder: Path) -> None:
    """One block after the other, as a reader would type them."""
    name = name_of(page)
    scope: dict[str, Any] = {}
    if name in PREPARED:
        PREPARED[name](scope)
    smaller = dict(SMALLER.get(name, {}))
    for block in blocks(page):
        if block.language != "python" or block.not_run:
            continue
        code = block.text
        for more, fewer in SMALLER.get(name, {}).items():
            if more in code:
                smaller.pop(more, None)
            code = code.replace(more, fewer)
        exec(compile("\n" * (block.line - 1) + code, name, "exec"), scope)
    assert smaller == {}, "these stand nowhere on the page"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_task_files_load(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole one by itself, a part in place of a preset's."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(page):
        if block.language == "xml":
            (tmp_path / f"{mujoco.MjModel.from_xml_string(block.text).names[:8].decode()}.xml").write_text(
                block.text
            )
        if block.language != "yaml" or block.not_run:
            continue
        said = yaml.safe_load(block.text)
        if "name" not in said:
            said = _merged(mbmf.load_task(PARTS[name_of(page)]).to_data(), said)
        assert mbmf.load_task(said).nstate > 0


def _merged(task: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The task with the part's sections; a key that both learning sections may have is the part's."""
    learning = {
        key: value for key, value in task["model_based"].items() if key not in part.get("dynamics", {})
    }
    return {**task, "model_based": learning, **part}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_parse(page: Path) -> None:
    """All by the shell; those of `mbmf` by its parser too."""
    for block in blocks(page):
        if block.language not in ("", "bash"):
            continue
        text = re.sub(r"<[\w/ ]+>", "PLACE", block.text)
        checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
        assert checked.returncode == 0, (block.line, checked.stderr)
        for line in commands(block.text):
            if not line.startswith("mbmf "):
                continue
            command, *words = shlex.split(line, comments=True)[1:]
            if words and f"{command} {words[0]}" in cli.SUBCOMMANDS:
                command = f"{command}_{words.pop(0)}"
            parse(importlib.import_module(f"mbmf.cli.{command}").Options, f"mbmf {command}", words)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_cpp_compiles(tmp_path: Path) -> None:
    """What a page shows of a program, with the names that it takes from the rest."""
    (block,) = [block for page in PAGES for block in blocks(page) if block.language == "cpp"]
    source = tmp_path / "shown.cc"
    source.write_text(
        "#include <mbmf/control/controller.h>\n#include <mbmf/export/bundle.h>\n"
        "void shown(const mbmf::ControllerOptions& options, const double* state,\n"
        f"           mbmf::TimePoint measured_at, mbmf::ActionMessage& message) {{\n{block.text}}}\n"
    )
    includes = [f"-I{ROOT / 'cpp' / 'include'}", f"-I{Path(mujoco.__file__).parent / 'include'}"]
    compiled = subprocess.run(
        ["g++", "-std=c++20", "-fsyntax-only", *includes, source], capture_output=True, text=True
    )
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.parametrize("page", PAGES[2:], ids=name_of)
def test_what_a_page_includes_is_there(page: Path) -> None:
    """A directive that takes a part of a file finds the file, and the texts that it begins and ends with."""
    for name, options in re.findall(
        r"^```\{(?:literal)?include\} (\S+)\n((?::.*\n)*)", page.read_text(encoding="utf-8"), re.MULTILINE
    ):
        text = (page.parent / name).read_text(encoding="utf-8")
        for mark in re.findall(r'^:(?:start-after|end-before): "?(.*?)"?$', options, re.MULTILINE):
            assert mark in text


def test_every_page_is_on_the_site() -> None:
    contents = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = "\n".join(re.findall(r"^```\{toctree\}\n(.*?)^```", contents, re.DOTALL | re.MULTILINE))
    listed = {line for line in trees.splitlines() if line and not line.startswith(":")}
    pages = {page.relative_to(ROOT / "docs").with_suffix("").as_posix() for page in PAGES[2:]}
    assert listed == pages - {"index"}


def test_the_reference_has_every_name() -> None:
    """Those that `mbmf` offers, and the headers of the C++ library."""
    python = (ROOT / "docs" / "api" / "python.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\.\. auto(?:class|function):: (\w+)$", python, re.MULTILINE))
    assert named == set(mbmf.__all__) - {"__version__", "MbmfError", "CoreError"}
    assert ".. automodule:: mbmf.errors" in python
    cpp = (ROOT / "docs" / "api" / "cpp.md").read_text(encoding="utf-8")
    included = re.findall(r"^```\{literalinclude\} \.\./\.\./(.*)$", cpp, re.MULTILINE)
    headers = [path.relative_to(ROOT).as_posix() for path in (ROOT / "cpp" / "include").rglob("*.h")]
    assert sorted(included) == sorted(headers)
