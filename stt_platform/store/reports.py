"""The pages that say what was measured: `STT_HOME/reports/<name>.html`, and beside each what a list of them shows."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stt_platform.store.stages import SHOWN

REPORT_HTML, REPORT_JSON = "report.html", "report.json"
"""What a stage calls its page within its folder `shown`."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}")


@dataclass(frozen=True)
class ReportCard:
    """What a list says of a page.

    Attributes:
        name: of the page, as in its address.
        subject: "speech" or "translation".
        system: which model, with its adapter.
        level, words: the verdict (`evaluation.evaluation_report.Verdict`).
        evaluation_id: of its rows in `evaluations`.
    """

    name: str
    title: str
    subject: str
    system: str
    level: str
    words: str
    evaluation_id: str


def write_report(folder: Path, page: str, card: ReportCard) -> None:
    """Put a page and its card into the folder of a stage for what people look at, which publishes both."""
    (folder / REPORT_HTML).write_text(page, encoding="utf-8")
    (folder / REPORT_JSON).write_text(json.dumps(asdict(card), ensure_ascii=False, sort_keys=True), encoding="utf-8")


def published_report(name: str) -> dict[str, str]:
    """Return the files of a stage that are its report, and their names in `STT_HOME`, for `Stage.published`."""
    return {f"{SHOWN}/{file}": f"reports/{name}{Path(file).suffix}" for file in (REPORT_HTML, REPORT_JSON)}


def report_cards(home: Path) -> Iterator[ReportCard]:
    """Yield the cards of all pages that are there, sorted by name; what cannot be read is no card."""
    for path in sorted((home / "reports").glob("*.json")):
        try:
            card = ReportCard(**json.loads(path.read_text(encoding="utf-8")))
            found = report_page(home, card.name)
        except (ValueError, TypeError, OSError):
            continue
        if found:
            yield card


def report_page(home: Path, name: str) -> Path | None:
    """Return the page of that name, or None."""
    if not _NAME.fullmatch(name):
        return None
    path = home / "reports" / f"{name}.html"
    return path if path.is_file() else None
