"""What stages are made for: each sermon, each cycle of the loop, each translator, or once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from stt_platform.store.intake import registrations
from stt_platform.store.stages import CORPUS, part_owner

sermon_partitions = dg.DynamicPartitionsDefinition(name="sermon")
"""One partition for each sermon, named by its key."""

cycle_partitions = dg.DynamicPartitionsDefinition(name="cycle")
"""One partition for each round of the loop: 0 is the first training, before anybody has corrected anything."""


@dataclass(frozen=True)
class Scope:
    """What a stage is made for.

    Attributes:
        name: of one of several, as the command line has it, and of its dynamic partitions; "corpus" for what is made once.
        partitions: None for what is made once.
    """

    name: str
    partitions: dg.PartitionsDefinition | None = None

    def owner(self, part: str | None) -> str:
        """Return the owner of an output for a partition. Raises ValueError where one is needed and none is given."""
        if self.partitions is None:
            return CORPUS
        if part is None:
            raise ValueError(f"it is made for each {self.name}: name one")
        return part if self.name == "sermon" else part_owner(self.name, part)

    def parts(self, home: Path) -> Sequence[str | None]:
        """Return the partitions for which something lies in a home, sorted."""
        if self.partitions is None:
            return [None]
        if self.name == "sermon":
            return list(registrations(home))
        if isinstance(self.partitions, dg.DynamicPartitionsDefinition):
            return sorted(path.name for path in (home / f"{self.name}s").glob("*") if path.name[0] != ".")
        return list(self.partitions.get_partition_keys())


SERMON = Scope("sermon", sermon_partitions)
CYCLE = Scope("cycle", cycle_partitions)
TRANSLATOR = Scope("translator", dg.StaticPartitionsDefinition(["A", "B"]))
"""The seed's two: A is the 4B model, B the 12B."""
CORPUS_SCOPE = Scope("corpus")


def known_cycles(instance: dg.DagsterInstance) -> list[int]:
    """Return the numbers of all cycles, the newest first."""
    return sorted((int(key) for key in instance.get_dynamic_partitions(CYCLE.name)), reverse=True)


def newest_cycle(instance: dg.DagsterInstance) -> str:
    """Return the key of the newest cycle; the first one is added where there is none."""
    return with_cycle(instance, max(known_cycles(instance), default=0))


def with_cycle(instance: dg.DagsterInstance, number: int) -> str:
    """Return the key of a cycle, which is added if it is not there."""
    key = str(number)
    instance.add_dynamic_partitions(CYCLE.name, [key])
    return key
