"""`stt channel`: from a channel on the web to sermons: list it, choose a sample, fetch it."""

import datetime
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from stt_platform.settings import home, load_settings
from stt_platform.store.metadata import MetadataStore
from stt_platform.web.client import Politeness
from stt_platform.web.download import Downloaded, download
from stt_platform.web.listing import list_channel
from stt_platform.web.proposal import Choice, propose, summary
from stt_platform.web.tables import read_choices, read_videos, write_choices, write_videos
from stt_platform.web.videos import BadAddress, Video

console = Console(highlight=False, soft_wrap=True)

_SHOWN = 40


class _Range(click.ParamType):
    """A range such as 10-20."""

    name = "LEAST-MOST"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """(least, most)."""
        if isinstance(value, tuple):
            return value
        least, _, most = str(value).replace("–", "-").partition("-")
        try:
            found = float(least), float(most or least)
        except ValueError:
            self.fail(f"{value!r} is no range; write 10-20", param, ctx)
        if not 0 < found[0] <= found[1] < math.inf:
            self.fail(f"{value!r}: the least comes first, and is more than 0", param, ctx)
        return found


class _Language(click.ParamType):
    """Two or three letters."""

    name = "CODE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the code itself."""
        if not re.fullmatch(r"[a-z]{2,3}", str(value)):
            self.fail(f"{value!r} is no language; write two or three letters, such as en", param, ctx)
        return str(value)


@click.group()
def channel() -> None:
    """Take recordings from a channel on the web: list it, choose a sample, fetch it."""


@channel.command("list")
@click.argument("url", required=False)
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day; else the setting channel.since.")
@click.option("--pause", type=click.FloatRange(0), default=0.75, show_default=True, help="Seconds between requests.")
def list_command(url: str | None, since: datetime.datetime | None, pause: float) -> None:
    """List what was published at URL (else the setting channel.url) since a day, into channel/videos.csv."""
    settings = load_settings(home()).channel
    first_day = since.date() if since else settings.since
    folder = _folder()
    path = folder / "videos.csv"
    known = {video.id: video for video in read_videos(path)} if path.exists() else {}
    with Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")) as bar:
        task = bar.add_task("Reading the list", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, description="Asking for exact dates", completed=done, total=total)

        try:
            videos = list_channel(
                url or settings.url,
                since=first_day,
                known=known,
                politeness=Politeness(request_s=pause),
                progress=show,
            )
        except BadAddress as error:
            raise click.ClickException(str(error)) from error
    write_videos(path, videos)
    _print_videos(videos)
    console.print(f"The list is in {path}.", markup=False)
    console.print("Next: `stt channel propose`.")


@channel.command("propose")
@click.option("--hours", type=_Range(), help="How many hours, such as 10-20; else the settings.")
@click.option("--recordings", type=_Range(), help="How many recordings, such as 10-20; else the settings.")
@click.option("--recent-years", type=click.FloatRange(0, min_open=True), help="What is recent; else the settings.")
@click.option("--yes", is_flag=True, help="Replace the sample that is there, with what was changed in it.")
def propose_command(
    hours: tuple[float, float] | None,
    recordings: tuple[float, float] | None,
    recent_years: float | None,
    yes: bool,
) -> None:
    """Propose a sample of the list into channel/sample.csv, for you to edit: mostly recent, some older."""
    settings = load_settings(home()).channel
    hours = hours or (settings.min_hours, settings.max_hours)
    recordings = recordings or (settings.min_recordings, settings.max_recordings)
    recent_years = recent_years or settings.recent_years
    folder = _folder()
    path = folder / "sample.csv"
    try:
        videos = read_videos(folder / "videos.csv")
    except FileNotFoundError as error:
        raise click.ClickException("There is no list yet; first `stt channel list URL`.") from error
    if path.exists() and not yes:
        click.confirm(f"{path} is there already. Replace it, with what you changed in it?", abort=True)
    counts = (max(1, round(recordings[0])), max(1, round(recordings[1])))
    today = datetime.datetime.now(datetime.UTC).date()
    choices = propose(videos, today=today, hours=hours, recordings=counts, recent_years=recent_years)
    write_choices(path, choices)
    _print_choices(choices)
    for line in summary(choices, today=today, hours=hours, recordings=counts, recent_years=recent_years):
        console.print(line, markup=False)
    console.print(f"Edit {path}: yes or no in the column “take”; title and speaker may be corrected.", markup=False)
    console.print("Next: `stt channel fetch`.")


@channel.command("fetch")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--language", type=_Language(), help="Language of the captions, such as en; else the settings.")
@click.option(
    "--pause", type=click.FloatRange(0), default=10.0, show_default=True, help="Least seconds between downloads."
)
@click.option("--rate", type=click.IntRange(1), help="Most kilobytes a second.")
def fetch_command(yes: bool, language: str | None, pause: float, rate: int | None) -> None:
    """Download what the sample says, with captions, and take each in as a sermon. Stopped, it goes on next time."""
    language = language or load_settings(home()).channel.captions_language
    folder = _folder()
    try:
        chosen = [choice for choice in read_choices(folder / "sample.csv") if choice.take]
    except FileNotFoundError as error:
        raise click.ClickException("There is no sample yet; first `stt channel propose`.") from error
    if not chosen:
        raise click.ClickException("Nothing is chosen; write yes in the column “take” of sample.csv.")
    if not yes:
        hours = sum(choice.video.duration_s or 0 for choice in chosen) / 3600
        click.confirm(f"Download {len(chosen)} recordings, {hours:.1f} hours?", abort=True)
    politeness = Politeness(
        request_s=min(pause, 0.75),
        download_s=(pause, 2 * pause),
        bytes_per_s=rate * 1000 if rate else None,
    )
    results = _fetch(chosen, folder / "downloads", language, politeness)
    _report_noise(results)
    failed = [result for result in results if result.outcome == "failed"]
    if failed:
        console.print(f"{len(failed)} of {len(results)} failed. The same command tries these again.", style="yellow")
    console.print("Next: `stt run` (or nothing at all, while `make ui` is running).")
    sys.exit(1 if failed else 0)


def _folder() -> Path:
    return home() / "channel"


def _fetch(chosen: Sequence[Choice], folder: Path, language: str, politeness: Politeness) -> list[Downloaded]:
    from stt_platform.orchestration.instance import open_instance

    store = MetadataStore(home())
    choices = {choice.video.id: choice for choice in chosen}
    results = []
    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(width=40, no_wrap=True)),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with open_instance(store.home) as instance, Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def show(video: Video, done: int, total: int | None) -> None:
            bar.update(task, description=video.title[:40], completed=done, total=total)

        videos = [choice.video for choice in chosen]
        bar.update(task, description=videos[0].title[:40])
        for result in download(videos, folder, captions_language=language, politeness=politeness, progress=show):
            results.append(result)
            _take_in(store, instance, choices[result.video.id], result)
    store.refresh_catalog()
    return results


def _take_in(store: MetadataStore, instance, choice: Choice, result: Downloaded) -> None:
    """Make a sermon of a download: a partition of its own, with its captions."""
    from stt_platform.orchestration.scopes import SERMON
    from stt_platform.store.captions import attach_captions
    from stt_platform.store.intake import ingest

    title, details = choice.video.title, result.details
    if details is None or result.audio_path is None:
        console.print(f"{title}: failed: {result.reason}", style="red", markup=False)
        return
    # A row with nothing but an address has the address for a title.
    entries = ingest(
        store,
        [result.audio_path],
        title=details.title if title == choice.video.url else title,
        speaker=choice.speaker,
        date=details.date,
        source_of=lambda _: choice.video.url,
    )
    for entry in entries:
        if entry.sermon is None:
            console.print(f"{title}: {entry.message}", style="red", markup=False)
            continue
        instance.add_dynamic_partitions(SERMON.name, [entry.sermon])
        captions = "no captions"
        if result.captions_path:
            name = f"{details.captions_kind}-{details.captions_language}"
            attach_captions(store.home, entry.sermon, result.captions_path, name=name)
            captions = f"{details.captions_kind} captions"
        elif details.captions_problem:
            captions = f"captions failed ({details.captions_problem}); the same command tries again"
        console.print(f"{entry.message}; {captions}", markup=False)


def _report_noise(results: Sequence[Downloaded]) -> None:
    from stt_platform.audio.media import UnreadableMedia
    from stt_platform.web.noise import estimate_noise, sample_advice

    paths = {result.audio_path: result.video.title for result in results if result.audio_path}
    if not paths:
        return
    found: dict[str, float] = {}
    table = Table("SNR", Column("title", overflow="fold"))
    with console.status("Listening for noise …"):
        for path, title in paths.items():
            try:
                found[path.name] = estimate_noise(path).snr_db
            except UnreadableMedia:
                found[path.name] = math.nan
            db = found[path.name]
            table.add_row("?" if math.isnan(db) else f"{db:.0f} dB", escape(title))
    console.print(table)
    console.print(f"Noise: {sample_advice(found)}.", markup=False)


def _print_videos(videos: Sequence[Video]) -> None:
    table = Table("date", Column("minutes", justify="right"), Column("title", overflow="fold"), "problem")
    for video in videos[:_SHOWN]:
        table.add_row(_date(video), _minutes(video), escape(video.title), escape(video.problem or ""))
    console.print(table)
    more = f" The {_SHOWN} newest are shown." if len(videos) > _SHOWN else ""
    total_h = sum(video.duration_s or 0 for video in videos) / 3600
    console.print(f"{len(videos)} recordings, {total_h:.1f} hours.{more}", markup=False)


def _print_choices(choices: Sequence[Choice]) -> None:
    table = Table("date", Column("minutes", justify="right"), Column("title", overflow="fold"), "speaker", "why")
    for choice in choices:
        if choice.take:
            video = choice.video
            table.add_row(
                _date(video), _minutes(video), escape(video.title), escape(choice.speaker or ""), escape(choice.reason)
            )
    console.print(table)


def _date(video: Video) -> str:
    return "" if video.date is None else f"{'' if video.date_is_exact else '≈ '}{video.date.isoformat()}"


def _minutes(video: Video) -> str:
    return "" if video.duration_s is None else f"{video.duration_s / 60:.0f}"
