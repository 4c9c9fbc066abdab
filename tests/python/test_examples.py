"""The notebooks of examples/: they run, and their kept output is whole, small and of no one's machine."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def pictures(cells: list[Any]) -> list[bytes]:
    """The PNG pictures among the outputs."""
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data]


def test_there_is_one_of_each_kind() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        *("first_steps", "forwardsim", "learning_curves", "loss", "own_robot", "trajfollow")
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_kept(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 300_000
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(pictures(code)) == 1
    said = json.dumps([output for cell in code for output in cell.outputs if "text" in output])
    assert not re.search(r"(^|[\"' ])/(home|tmp|root|work)\b|Warning|Error", said)


# what the notebooks are run with in place of what they say: the same with less to do
FEWER = {
    "epochs=30": "epochs=1",
    "epochs=20": "epochs=1",
    "steps=200": "steps=9",
    "episodes=100": "episodes=9",
    "episodes=25": "episodes=2",
}


@pytest.mark.slow
def test_they_run(small_runs: Path, path_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in one kernel, which takes most of the time to start."""
    (tmp_path / "run_1").symlink_to(small_runs / "run_1")
    (tmp_path / "run_5").symlink_to(path_runs / "run_4")
    monkeypatch.setenv("MBMF_RUNS", str(tmp_path))
    notebooks = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
    cells = [cell for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs = []
        for more, fewer in FEWER.items():
            cell.source = cell.source.replace(more, fewer)
    together = nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)
    NotebookClient(together, timeout=120, record_timing=False).execute()
    assert len(pictures(together.cells)) == len(NOTEBOOKS)
    assert all(picture.startswith(b"\x89PNG") for picture in pictures(together.cells))
    assert any("zigzag" in output.get("text", "") for output in together.cells[-1].outputs)
