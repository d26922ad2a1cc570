"""One partition for each round of the loop: 0 is the first training, before anybody has corrected anything."""

import dagster as dg

from stt_platform.defs.corpus import Parts

cycle_partitions = dg.DynamicPartitionsDefinition(name="cycle")

CYCLES = Parts("cycle", cycle_partitions)
"""For stages that are made anew in each cycle; the output of cycle 3 lies in `STT_HOME/cycles/3`."""
