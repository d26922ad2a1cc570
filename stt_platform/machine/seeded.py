"""Random numbers that depend on their arguments alone: the same in every run, on every machine, in any order of rows."""

import hashlib


def seeded_uniform(seed: int, *parts: str) -> float:
    """Draw a number uniformly from [0, 1) by a seed and the texts that name what it is drawn for."""
    digest = hashlib.sha256("\0".join([str(seed), *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
