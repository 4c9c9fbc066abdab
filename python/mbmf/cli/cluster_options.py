"""The options of commands whose work may be elsewhere: on the machines of a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mbmf.cli.terminal import note
from mbmf.errors import ConfigError

if TYPE_CHECKING:
    from mbmf.cluster.engine import Engine
    from mbmf.cluster.sampler import Sampler


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Fields that commands share."""

    address: str | None = None
    """Ray cluster that does the work: auto, the one that this machine is part of; local, one that is started
    here for the command; ray://host:port or host:port, one elsewhere. Each task has --nthread threads (of
    mbmf mf --num_workers_trpo; 0: one). Needs mbmf[ray], docs/cluster.md (default: no cluster)."""

    any_machine: bool = False
    """Take machines of the cluster with other instruction sets or versions: the numbers are others then."""

    @contextlib.contextmanager
    def sampler(self, nthread: int) -> Iterator[Sampler]:
        """What makes episodes and labels, with so many threads, until the block ends.

        Raises ConfigError, ClusterError.
        """
        from mbmf.cluster.sampler import Elsewhere, Here

        if self.address is None:
            self.check()
            yield Here(nthread)
            return
        with Elsewhere(self.engine(nthread)) as sampler:
            yield sampler

    def engine(self, nthread: int) -> Engine:
        """The cluster's; close it. Raises ClusterError."""
        from mbmf.cluster.ray_engine import RayEngine

        assert self.address is not None
        return RayEngine(self.address, nthread or 1, any_machine=self.any_machine, note=note)

    @contextlib.contextmanager
    def engine_of_runs(self, jobs: int, nthread: int) -> Iterator[Engine]:
        """What runs whole runs at the same time: the cluster, or ``jobs`` processes here, 0: as many as fit.

        Raises ConfigError, ClusterError.
        """
        from mbmf.cluster.processes import Processes

        self.check()
        if self.address is None:
            engine: Engine = Processes(jobs or None, nthread or 1)
        else:
            engine = self.engine(nthread)
        with contextlib.closing(engine):
            yield engine

    def words(self) -> list[str]:
        """These options as words of a command line."""
        words = [] if self.address is None else [f"--address={self.address}"]
        return words + (["--any_machine"] if self.any_machine else [])

    def check(self) -> None:
        """Raises ConfigError for an option that needs an address."""
        if self.any_machine and self.address is None:
            raise ConfigError("--any_machine must be given together with --address, got no --address")
