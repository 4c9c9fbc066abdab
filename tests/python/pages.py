"""README and the pages of docs/, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_REASON = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        language: what stands behind the fence; nothing is the shell.
        text: its lines.
        line: the number of its first one in the page.
        not_run: why no test runs it, as a comment in front of it says; None: it is run.
    """

    language: str
    text: str
    line: int
    not_run: str | None


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The blocks of code of a page, in their order; not the site's directives, as {toctree}."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, code = match.groups()
        if language.startswith("{"):
            continue
        reason = _REASON.search(text, 0, match.start())
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(language, code, line, reason and " ".join(reason[1].split())))
    return found


def commands(shell: str) -> list[str]:
    """The command lines of a block of shell, those that go on in the next line as one."""
    return shell.replace("\\\n", " ").splitlines()
