"""The funnel of one sermon, or of all together, from the store."""

from stt_platform.audio.funnel import FunnelStep, funnel_steps
from stt_platform.store.metadata import MetadataStore

_ALL = "SELECT step, outcome, samples FROM funnel"


def read_funnel(store: MetadataStore, sermon: str | None = None) -> list[FunnelStep]:
    """Return how much sound came in, and how much each gate left; of all sermons that have been worked on, by default."""
    rows = (store.query(_ALL) if sermon is None else store.query(f"{_ALL} WHERE sermon = ?", [sermon])).to_pylist()
    return funnel_steps((row["step"], row["outcome"], row["samples"]) for row in rows)
