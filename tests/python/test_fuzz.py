"""A little of what `fuzz.py` does for hours: files of every format, damaged at random."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import fuzz

INPUTS = {"task YAML": 60, "task trees": 200, "run config": 40}


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, fuzz.Format]:
    return fuzz.make_formats(tmp_path_factory.mktemp("whole"))


def test_whole_files_are_read(formats: dict[str, fuzz.Format], tmp_path: Path) -> None:
    for number, each in enumerate(formats.values()):
        for seed, data in enumerate(each.seeds):
            place = tmp_path / f"{number}_{seed}"
            place.mkdir()
            each.read(place, data)


def test_damaged_files_are_read_or_named(formats: dict[str, fuzz.Format]) -> None:
    for name, each in formats.items():
        if name == "robot":  # MuJoCo's, which may crash: docs/threats.md
            continue
        found = fuzz.Found()
        for number in range(INPUTS.get(name, 150)):
            fuzz.attempt(each, number, found)
        assert found.faults == {}, name
        assert found.refused > found.inputs / 3, name


def test_faults_are_found() -> None:
    def read(place: Path, data: bytes) -> object:
        if data[:1] == b"a":
            raise KeyError("b")
        return None

    found = fuzz.attempt_many(fuzz.Format("broken", [b"aaaa"], read), 0, 40)
    assert found.inputs == 40
    assert list(found.faults) == ["KeyError: 'b'"]
    assert 0 < found.read < 40
    # what ends its process is one more finding, and the next inputs are read
    found = fuzz.attempt_many(fuzz.Format("fatal", [b"x"], lambda place, data: os._exit(3)), 0, 3)
    assert found.inputs == 3
    assert found.faults == {"crash (3)": [0, 1, 2]}
