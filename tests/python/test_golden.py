"""Random shooting is the same bits as before searches were objects of their own, on every instruction set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mbmf import _core

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden" / "plans.json").read_text())

_PROGRAM = """
import json, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import golden_plans
print(json.dumps(golden_plans.compute(int(sys.argv[2]))))
"""


@pytest.mark.parametrize("nthread", [1, 3])
@pytest.mark.parametrize("isa", sorted(GOLDEN))
def test_the_same_bits(isa: str, nthread: int) -> None:
    if isa not in _core.available_isas():
        pytest.skip(f"no {isa} on this machine")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(HERE), str(nthread)],
        env={**os.environ, "MBMF_FORCE_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == GOLDEN[isa].keys()
    for case, plans in GOLDEN[isa].items():
        assert found[case].keys() == plans.keys()
        for name, plan in plans.items():
            assert found[case][name] == plan, f"{case}, {name}"
