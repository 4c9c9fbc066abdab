"""How many control steps MF and MBMF need to reach shares of what MF reaches (paper, section VI-D)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mbmf.errors import DataError
from mbmf.files import atomic_write
from mbmf.show.learning_curves import Curve, steps_to

SHARES = (0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Threshold:
    """A share of MF's best mean reward, the reward that it is, and the control steps at which the mean over
    the seeds first reaches it; None: never."""

    share: float
    reward: float
    mf_steps: float | None
    mbmf_steps: float | None

    @property
    def ratio(self) -> float | None:
        """Steps of MF over steps of MBMF; None where one of them never reaches the reward."""
        if self.mf_steps is None or self.mbmf_steps is None:
            return None
        return self.mf_steps / self.mbmf_steps

    def row(self) -> dict[str, Any]:
        """As a row of a table."""
        return {
            "share": self.share,
            "reward": self.reward,
            "mf_steps": self.mf_steps,
            "mbmf_steps": self.mbmf_steps,
            "ratio": self.ratio,
        }


def thresholds(
    mf: Curve, mbmf: Curve, shares: Sequence[float] = SHARES, best: float | None = None
) -> list[Threshold]:
    """A row for each share of MF's best mean reward.

    Args:
        mf: the mean over seeds.
        mbmf: the same, of fine-tuning alone: the imitation policy, which acts without noise, may pass a low
            reward before, which fine-tuning then has to reach again. Its steps count all that was taken
            before.
        shares: above 0, to 1.
        best: in place of MF's own best.

    Raises DataError if MF's best is not positive, for there is no share of it to reach.
    """
    level = mf.best if best is None else best
    if not level > 0:
        raise DataError(f"the best mean reward of MF must be positive to have shares, got {level:g}")
    rewards = [(share, share * level) for share in shares]
    return [
        Threshold(share, reward, steps_to(mf, reward), steps_to(mbmf, reward)) for share, reward in rewards
    ]


def write_thresholds(folder: Path, rows: Sequence[Threshold], about: dict[str, Any]) -> list[Path]:
    """Writes the rows as thresholds.csv and, with ``about`` beside them, as thresholds.json; returns both.

    Raises OSError if they cannot be written; a file that was there is then as it was.
    """
    entries = [row.row() for row in rows]
    return write_table(folder, "thresholds", entries, {**about, "thresholds": entries})


def write_table(
    folder: Path, name: str, rows: Sequence[dict[str, Any]], contents: dict[str, Any]
) -> list[Path]:
    """Writes ``rows``, one or more with the same keys, as <name>.csv and ``contents`` as <name>.json.

    Returns both. Raises OSError if they cannot be written; a file that was there is then as it was.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    texts = {
        f"{name}.csv": table.getvalue(),
        f"{name}.json": json.dumps(contents, indent=2, allow_nan=False) + "\n",
    }
    for file_name, text in texts.items():
        with atomic_write(folder / file_name) as file:
            file.write(text.encode())
    return [folder / each for each in texts]
