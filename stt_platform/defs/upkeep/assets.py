"""What happens every night: a backup, damaged tables made again, the state of the platform, and a summary of it."""

from datetime import datetime

import dagster as dg

from stt_platform.defs.shown import page, table
from stt_platform.defs.upkeep import summary
from stt_platform.defs.upkeep.state import read_state
from stt_platform.errors import PlatformError
from stt_platform.machine.files import write_atomically
from stt_platform.orchestration.platform import OWNERS, Platform
from stt_platform.store.backups import backups_folder, list_backups, make_backup
from stt_platform.store.mending import mend_tables

SUMMARY = "daily-summary"
"""What the page is called: `STT_HOME/reports/daily-summary.html`, and `.md` beside it."""

_GROUP = "upkeep"
_MADE = "backup_is_whole"
_NOTHING_FAILED = "nothing_left_failed"
_FRESH = "is_fresh"


@dg.asset(
    group_name=_GROUP,
    kinds={"sqlite"},
    owners=OWNERS,
    check_specs=[
        dg.AssetCheckSpec(_MADE, asset="instance_backup", description="Every database could be copied whole.")
    ],
)
def instance_backup(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Back up the Dagster instance and the small files that nobody could make again, in `STT_HOME/backups`.

    Corrections, references, choices, splits, settings, decisions, and what each adapter was made from. No recordings, and
    nothing that the stages make again. `stt restore` puts back what is damaged or missing.
    """
    try:
        made = make_backup(platform.home, keep_days=platform.settings.upkeep.keep_backups_days, now=datetime.now())
    except PlatformError as error:
        # A check, and no failure: the summary that tells people about it is made all the same.
        context.log.error(str(error))
        check = dg.AssetCheckResult(check_name=_MADE, passed=False, metadata={"what to do": str(error)})
        return dg.MaterializeResult(metadata={"backup": "not made"}, check_results=[check])
    damaged = [{"database": name, "what SQLite says": fault} for name, fault in sorted(made.damaged.items())]
    remedy = {"damaged": table(damaged), "what to do": "stop the platform, then run `stt restore`"} if damaged else {}
    return dg.MaterializeResult(
        metadata={
            "backup": made.name,
            "folder": dg.MetadataValue.path(str(made.folder)),
            "files": len(made.files),
            "backups kept": len(list_backups(platform.home)),
            "all of them": dg.MetadataValue.path(str(backups_folder(platform.home))),
        },
        check_results=[dg.AssetCheckResult(check_name=_MADE, passed=not damaged, metadata=remedy)],
    )


@dg.asset(group_name=_GROUP, kinds={"parquet"}, owners=OWNERS, deps=[instance_backup])
def mended_tables(platform: Platform) -> dg.MaterializeResult:
    """Make table fragments again that are not what their stages wrote, as after a disk error.

    Where the stage's own copy is damaged too, the stage is out of date from now on, and runs again when it is next asked for.
    """
    store = platform.store
    done = mend_tables(store)
    store.compact()
    store.refresh_catalog()
    rows = [{"what": each.what, "outcome": each.outcome} for each in done]
    return dg.MaterializeResult(metadata={"were damaged": len(done), "what became of them": table(rows[:100])})


@dg.asset(
    group_name=_GROUP,
    kinds={"table"},
    owners=OWNERS,
    deps=[mended_tables],
    check_specs=[
        dg.AssetCheckSpec(
            _NOTHING_FAILED,
            asset="platform_state",
            description="No sermon, cycle or asset is left as its failed run left it.",
        ),
        dg.AssetCheckSpec(
            _FRESH,
            asset="platform_state",
            description="No sermon waits for more than a day, and the backup is of these days.",
        ),
    ],
)
def platform_state(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """List what is left failed, what is in progress, and how fresh everything is.

    Crashes are tried again by themselves, twice; a stage that raised is not, since it would raise again. What is still
    broken then stays in this list until somebody tries it again.
    """
    state = read_state(platform, context.instance)
    failed = [
        {
            "asset": each.asset,
            "of": f"{each.kind} {each.partition}".strip(),
            "since": each.since,
            "why": each.reason,
            "to try it again": each.remedy,
            "run": each.run_id,
        }
        for each in state.failed
    ]
    stale = summary.stale(state)
    count = {
        status: sum(each.status == status for each in state.sermons) for status in ("accepted", "rejected", "waiting")
    }
    return dg.MaterializeResult(
        metadata={
            "sermons transcribed": count["accepted"],
            "sermons rejected": count["rejected"],
            "sermons not transcribed yet": count["waiting"],
            "sermons in progress": len(state.in_progress),
            "left failed": len(failed),
            "what is left failed": table(failed[:100]),
            "newest backup": state.newest_backup or "none",
            "free (GB)": round(state.free_bytes / 1e9, 1),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=_NOTHING_FAILED,
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"left failed": len(failed), "what to do": table(failed[:20])},
            ),
            dg.AssetCheckResult(
                check_name=_FRESH,
                passed=not stale,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"what to do": "; ".join(stale) or "nothing"},
            ),
        ],
    )


@dg.asset(group_name=_GROUP, kinds={"report"}, owners=OWNERS, deps=[platform_state])
def daily_summary(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult:
    """Summarise on one page what came, what waits for a person, what failed and what to do, how fresh it is, and the disk."""
    state = read_state(platform, context.instance)
    sections = summary.summarise(state, platform.settings.upkeep)
    words = summary.markdown(state, sections)
    write_atomically(platform.home / "reports" / f"{SUMMARY}.md", words.encode())
    write_atomically(platform.home / "reports" / f"{SUMMARY}.html", summary.html(state, sections).encode())
    return dg.MaterializeResult(
        metadata={
            "in a sentence": summary.in_a_sentence(sections),
            "summary": dg.MetadataValue.md(words),
            "page": page(platform, f"evaluation/{SUMMARY}"),
        }
    )
