"""The split of the sermons into train, dev, test and final: the asset `sermon_split`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stt_platform.defs.shown import table
from stt_platform.errors import PlatformError
from stt_platform.evaluation.splits import SPLITS, SermonToSplit, split_sermons
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.stage import stage
from stt_platform.orchestration.work import StageContext, Work
from stt_platform.store.intake import registrations
from stt_platform.store.splits import frozen_splits, pinned_splits
from stt_platform.store.stages import StageOutput, StageResult

_USABLE = """
select sermon, speaker from registrations
where sermon not in (select sermon from stage_results where status = 'rejected') order by sermon
"""
_SPLITS = "select sermon, split from splits order by sermon"


@dataclass(frozen=True)
class _Sermons:
    """What the split is made of: (sermon, speaker) of those that are not rejected, and pins.

    Not what is frozen: that is what was made here before, and asks for nothing else.
    """

    usable: tuple[tuple[str, str | None], ...]
    pinned: Mapping[str, str]


def _read(context: StageContext) -> _Sermons:
    rows = context.store.query(_USABLE).to_pylist()
    usable = tuple((row["sermon"], row["speaker"]) for row in rows)
    return _Sermons(usable, pinned_splits(context.home))


@dataclass(frozen=True)
class SplitData:
    """How many sermons are in each split, and how many of them were pinned by hand."""

    sermons: dict[str, int]
    pinned: int


def _metadata(platform: Platform, output: StageOutput) -> Mapping[str, Any]:
    strays = sorted(set(pinned_splits(platform.home)) - set(registrations(platform.home)))
    return {
        **output.shown,
        "pins for sermons that are not here": ", ".join(strays) or "–",
        "splits": table(platform.store.query(_SPLITS).to_pylist()),
    }


@stage(
    version="1",
    group="sermons",
    kinds={"table"},
    tables=("splits",),
    reads=("registrations", "stage_results"),
    read=_read,
    parameters=lambda context: context.settings.split.model_dump(),
    metadata=_metadata,
)
def sermon_split(work: Work) -> StageResult:
    """Split the sermons into train, dev (validation), test and final, by speaker.

    A model is measured on speakers and sermons that it was not trained on. The split repeats exactly, can be pinned by
    hand in `STT_HOME/splits/pinned.csv`, and is frozen before the first training. Rejected sermons are in no split.
    """
    sermons, chosen = work.read, work.settings.split
    try:
        splits = split_sermons(
            [SermonToSplit(*each) for each in sermons.usable],
            chosen.model_dump(include=set(SPLITS)),
            seed=chosen.seed,
            pinned=sermons.pinned,
            frozen=frozen_splits(work.home),
        )
    except ValueError as error:
        raise PlatformError(f"{work.home / 'splits' / 'pinned.csv'}: {error}") from error
    rows = [{"sermon": sermon, "split": split, "pinned": sermon in sermons.pinned} for sermon, split in splits.items()]
    counts = Counter(splits.values())
    data = SplitData({split: counts[split] for split in SPLITS}, sum(row["pinned"] for row in rows))
    shown = {**{f"sermons in {split}": counts[split] for split in SPLITS}, "pinned by hand": data.pinned}
    return StageResult(data=data, tables={"splits": rows}, shown=shown)
