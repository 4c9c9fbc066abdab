"""README: short, with commands and Python that work; and the links of all pages."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from pages import PAGES, ROOT, blocks, name_of

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_a_page_with_the_two_commands() -> None:
    assert len(README.splitlines()) < 70
    shell = [block.text for block in blocks(ROOT / "README.md") if block.language == ""]
    assert shell == ["pip install . && mbmf demo\n", 'pip install ".[test]" && pytest\n']
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) == 2
    assert (ROOT / pictures[0]).read_bytes().startswith(b"GIF89a")
    assert (ROOT / pictures[0]).stat().st_size < 2 << 20


def test_its_python_runs() -> None:
    """With fewer episodes, steps and candidates."""
    (code,) = [block.text for block in blocks(ROOT / "README.md") if block.language == "python"]
    assert len(code.split("\n")) < 15
    smaller = {"episodes=25": "episodes=2", "333": "12", "epochs=30": "epochs=1", "5000": "50"}
    for more, fewer in smaller.items():
        assert more in code
        code = code.replace(more, fewer)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    assert len([float(word) for word in printed.getvalue().split()]) == 2


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, place = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        # the site has no pages for folders
        assert target.is_file() if page.is_relative_to(ROOT / "docs") else target.exists(), link
        if place and target.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            places = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert place in places, link
