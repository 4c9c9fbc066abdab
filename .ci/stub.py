"""Writes python/mbmf/_core.pyi, the types of the installed extension; with --check, compares only.

Needs pybind11-stubgen and ruff (`pip install ".[lint]"`).
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "python" / "mbmf" / "_core.pyi"


def generate() -> str:
    """The stub of mbmf._core."""
    with tempfile.TemporaryDirectory() as folder:
        # where the enumerators that are defaults of arguments come from
        options = ["--enum-class-locations", "Transform|NoiseKind|ResetKind:mbmf._core"]
        command = ["pybind11-stubgen", "--exit-code", *options, "-o", folder, "mbmf._core"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
        stub = Path(folder) / "mbmf" / "_core.pyi"
        stub.write_text(strict(stub.read_text()))
        subprocess.run(["ruff", "format", "-q", "--isolated", "--line-length", "110", str(stub)], check=True)
        return stub.read_text()


def strict(text: str) -> str:
    """What the generator leaves untyped: members of enumerations as values, and what dictionaries hold."""
    core = importlib.import_module("mbmf._core")

    def members(match: re.Match[str]) -> str:
        enumeration = getattr(core, match["name"])
        lines = [f"class {match['name']}(enum.IntEnum):", f'    """{inspect.getdoc(enumeration)}"""']
        lines += [f"    {member.name} = {member.value}" for member in enumeration]
        return "\n".join(lines) + "\n"

    text = re.sub(r"(?m)^class (?P<name>\w+)\(enum\.IntEnum\):\n(?:(?: .*)?\n)+", members, text)
    bare = {"dict": "dict[str, typing.Any]", "list": "list[typing.Any]", "tuple": "tuple[typing.Any, ...]"}
    return re.sub(r"(-> |: |\[|, )(dict|list|tuple)(?=[],:)])", lambda m: m[1] + bare[m[2]], text)


def main() -> None:
    stub = generate()
    if sys.argv[1:] != ["--check"]:
        TARGET.write_text(stub)
        return
    committed = TARGET.read_text() if TARGET.exists() else ""
    if committed != stub:
        before, after = committed.splitlines(keepends=True), stub.splitlines(keepends=True)
        changes = difflib.unified_diff(before, after, "python/mbmf/_core.pyi", "the extension")
        sys.stdout.writelines(changes)
        sys.exit("python/mbmf/_core.pyi is not what the extension has: pip install . && python .ci/stub.py")


if __name__ == "__main__":
    main()
