"""Runs the notebooks of this folder on real runs and keeps their output: `python examples/execute.py RUNS`.

RUNS is a folder with swimmer runs of `mbmf mb` (run_1 among them) and with run_5, of swimmer_trajfollow.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LARGEST = 300_000  # bytes


def main() -> None:
    os.environ["MBMF_RUNS"] = str(Path(sys.argv[1]).resolve())
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, record_timing=False).execute()
        notebook.metadata["language_info"] = {"name": "python"}
        text = nbformat.writes(notebook)
        if len(text) > LARGEST:
            sys.exit(f"{path}: notebook must be at most {LARGEST:,} bytes to be kept, got {len(text):,}")
        path.write_text(text + "\n", encoding="utf-8")
        print(f"{path}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
