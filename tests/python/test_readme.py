"""README and the pages beside it: short, with commands and Python that work, and links that do."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
from pathlib import Path

import pytest

from mbmf.cli import main as cli
from mbmf.cli.parse import parse

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_it_is_a_page_with_the_two_commands() -> None:
    assert len(README.splitlines()) < 70
    assert blocks(README, "") == ["pip install . && mbmf demo\n", 'pip install ".[test]" && pytest\n']
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) == 2
    assert (ROOT / pictures[0]).read_bytes().startswith(b"GIF89a")
    assert (ROOT / pictures[0]).stat().st_size < 2 << 20


def test_its_python_runs() -> None:
    """With fewer episodes, steps and candidates."""
    (code,) = blocks(README, "python")
    assert len(code.split("\n")) < 15
    smaller = {"episodes=25": "episodes=2", "333": "12", "epochs=30": "epochs=1", "5000": "50"}
    for more, fewer in smaller.items():
        assert more in code
        code = code.replace(more, fewer)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert len([float(word) for word in printed.getvalue().split()]) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if place and target.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            places = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert place in places, link


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_every_command_line_parses(page: Path) -> None:
    """Those of `mbmf` in blocks of plain text."""
    for block in blocks(page.read_text(encoding="utf-8"), ""):
        for line in block.splitlines():
            if not line.startswith("mbmf "):
                continue
            command, *words = shlex.split(line, comments=True)[1:]
            if words and f"{command} {words[0]}" in cli.SUBCOMMANDS:
                command = f"{command}_{words.pop(0)}"
            parse(importlib.import_module(f"mbmf.cli.{command}").Options, f"mbmf {command}", words)
