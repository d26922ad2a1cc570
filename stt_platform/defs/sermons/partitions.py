"""One partition for each sermon, named by its key."""

import dagster as dg

sermon_partitions = dg.DynamicPartitionsDefinition(name="sermon")
