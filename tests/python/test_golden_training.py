"""A model of one member is trained to the same bits as before the trainer knew of members."""

from __future__ import annotations

import json

import pytest

import golden_training


def test_the_same_bits() -> None:
    golden = json.loads(golden_training.FILE.read_text())
    expected = golden.get(golden_training.fingerprint())
    if expected is None:
        pytest.skip("this machine's matrix products have other bits than those that the file is of")
    assert golden_training.compute() == expected
