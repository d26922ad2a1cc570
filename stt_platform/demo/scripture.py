"""The part of `stt demo` that is about scripture: Bibles are fetched, paired, split, and the glossary held against them."""

import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from stt_platform.cli.running import run_due
from stt_platform.defs.scripture.folders import own_folder
from stt_platform.settings import Settings
from stt_platform.store.metadata import MetadataStore
from stt_platform.store.scripture import GATE_IN_WORDS
from stt_platform.web.sword import SwordFetchError, fetch_sword

_PACKAGES = ("sword-text-kjv", "sword-text-web", "sword-text-sparv")
_PAIRS = """
select en_source as "English text", count(*) as "verse pairs", count(*) filter (status = 'accepted') as accepted,
    count(*) filter (status = 'quarantined') as "set aside", count(*) filter (split = 'train') as train,
    count(*) filter (split = 'test') as test
from verse_pairs group by 1 order by 1
"""
_ASIDE = f"""
select {GATE_IN_WORDS} as why, count(*) as pairs, min_by(reason, md5(pair_id)) as "one of them",
    left(min_by(en, md5(pair_id)), 60) as english, left(min_by(es, md5(pair_id)), 60) as spanish
from verse_pairs where status = 'quarantined' group by 1 order by 2 desc
"""
_GLOSSARY = """
select status, count(*) as terms, min_by(en || ' → ' || es, md5(term_id)) as "for example"
from glossary group by 1 order by 2 desc
"""


def demo_scripture(home: Path, settings: Settings, console: Console) -> int:
    """Fetch, build and show; returns the exit code. Without the Bibles it says so, and nothing is built."""
    started = time.monotonic()
    console.print("Scripture: the King James Version, the World English Bible and Reina-Valera 1909, verse by verse.")
    try:
        with console.status("fetching Bibles") as status:
            fetch_sword(_PACKAGES, own_folder(home), progress=lambda now: status.update(now))
    except SwordFetchError as error:
        console.print(f"The verse pairs were not built: {error}", style="yellow", markup=False)
        return 0
    code = run_due(home, settings, console, through=["scripture_split", "glossary_pairs"])
    store = MetadataStore(home)
    store.refresh_catalog()
    _print(store, _PAIRS, "Verse pairs: every verse is in one, accepted or set aside", console)
    _print(store, _ASIDE, "What was set aside, and why", console)
    _print(store, _GLOSSARY, "The glossary held against the verses", console)
    (shown,) = store.query("select count(*) as n from versification where en_source = 'kjv'").to_pylist()
    console.print(
        f"KJV and Reina-Valera give {shown['n']} verses different numbers; see Job 39 on http://127.0.0.1:3001/scripture"
    )
    console.print(f"The verse pairs took {time.monotonic() - started:.0f} s.")
    return code


def _print(store: MetadataStore, sql: str, title: str, console: Console) -> None:
    rows = store.query(sql).to_pylist()
    if not rows:
        return
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table, markup=False)
