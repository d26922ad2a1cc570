"""The recognisers: each turns spans of sound into timed text.

To add one, write a file here with a subclass of `base.Recogniser`: its `kind`, `load`, and `transcribe_chunks`, which
leaves out the scores and word times that it does not have; heavy libraries are imported inside the methods. Name its
weights in `models/models.toml`, with that `kind`. The settings `transcription.model` and `agreement.second_model` take
that name; nothing else changes.
"""

import importlib
import pkgutil

from stt_platform.speech.recognisers.base import Recogniser


def recogniser_class(kind: str) -> type[Recogniser]:
    """Return the class of a kind of model. Raises `ValueError` with the kinds that there are."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
    kinds = {found.kind: found for found in Recogniser.__subclasses__()}
    if kind not in kinds:
        raise ValueError(f"no recogniser runs models of kind {kind!r}; there are {', '.join(sorted(kinds))}")
    return kinds[kind]
