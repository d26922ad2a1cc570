"""One partition for each round of the loop: 0 is the first training, before anybody has corrected anything."""

import dagster as dg

from stt_platform.defs.corpus import Parts

cycle_partitions = dg.DynamicPartitionsDefinition(name="cycle")

CYCLES = Parts("cycle", cycle_partitions)
"""For stages that are made anew in each cycle; the output of cycle 3 lies in `STT_HOME/cycles/3`."""


def known_cycles(instance: dg.DagsterInstance) -> list[int]:
    """The numbers of all cycles, the newest first."""
    return sorted((int(key) for key in instance.get_dynamic_partitions(cycle_partitions.name)), reverse=True)


def newest_cycle(instance: dg.DagsterInstance) -> str:
    """The key of the newest cycle; the first one is added where there is none."""
    return with_cycle(instance, max(known_cycles(instance), default=0))


def with_cycle(instance: dg.DagsterInstance, number: int) -> str:
    """The key of a cycle, which is added if it is not there."""
    key = str(number)
    instance.add_dynamic_partitions(cycle_partitions.name, [key])
    return key
