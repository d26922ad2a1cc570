"""The job that makes the corpus, and the sensor that starts it when texts come."""

import datetime
import hashlib

import dagster as dg

from stt_platform.defs.scripture.folders import own_folder
from stt_platform.machine.files import age_s
from stt_platform.orchestration.planning import plan
from stt_platform.orchestration.platform import Platform
from stt_platform.orchestration.scopes import CORPUS_SCOPE
from stt_platform.orchestration.sensors import platform_sensor
from stt_platform.orchestration.stage import follows_sermons
from stt_platform.scripture.finding import source_files

corpus = dg.define_asset_job(
    "corpus",
    selection=dg.AssetSelection.assets("translation_training_set").upstream(),
    description="From Bible texts and the glossary to what the translator learns from.",
)


@platform_sensor(job=corpus)
def new_texts(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
    """Builds the verse pairs, the split, the glossary and the translator's training set when Bible texts are put into
    `STT_HOME/scripture/texts`, once for each change of them. Back-translations, which take long, are a click.
    """
    # The cursor is what lay there, by name, size and time, when a run was last started.
    settings = platform.settings
    folder = own_folder(platform.home)
    files = source_files(folder)
    if not files:
        return dg.SkipReason(f"there are no Bible texts in {folder}")
    states = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    cursor = hashlib.sha256(repr(states).encode()).hexdigest()
    if cursor == context.cursor:
        return dg.SkipReason("the Bible texts are the same as before")
    youngest = max(state[2] for state in states) / 1e9
    if age_s(youngest) < settings.inbox.settle_s:
        at = datetime.datetime.fromtimestamp(youngest).strftime("%H:%M:%S")
        return dg.SkipReason(f"a text was still being written at {at}")
    due = [each.stage for each in plan(platform.home, settings, scopes=[CORPUS_SCOPE])]
    stages = [name for name in due if not follows_sermons(name)]
    if not stages:
        return dg.SensorResult(skip_reason="the corpus is up to date with these texts", cursor=cursor)
    request = dg.RunRequest(run_key=cursor, asset_selection=[dg.AssetKey(stage) for stage in stages])
    return dg.SensorResult(run_requests=[request], cursor=cursor)
