"""The page of a cycle: every number with its interval, what is not known said, and nothing of others run as markup."""

import re
from dataclasses import replace
from html import unescape

import pytest

from stt_platform.evaluation.intervals import Counts, Interval
from stt_platform.evaluation.paired import paired_rates
from stt_platform.evaluation.report_templates import style_source
from stt_platform.feedback.convergence import Convergence
from stt_platform.feedback.cycle_page import CycleReport, Heard, Reviewed, Waiting, in_a_sentence, render_cycle
from stt_platform.feedback.pictures import CyclePoint

BASE, BETTER = Interval(0.2, 0.15, 0.26, 8, "", 0.95), Interval(0.16, 0.12, 0.21, 8, "", 0.95)
NOBODY = Interval(None, None, None, 0, "", 0.95, "no answer yet")
BESIDE = paired_rates(
    {f"s{k}": Counts(20 + k, 100) for k in range(8)}, {f"s{k}": Counts(16 + (k > 4), 100) for k in range(8)}
)
REPORT = CycleReport(
    cycle=3,
    decision="promoted",
    reason="better than its base by 4 points",
    reviewed=Reviewed(
        asked=40,
        answered=38,
        answers=45,
        changed=30,
        unchanged=11,
        unusable=4,
        not_counted=2,
        word_edits=120,
        proposal_words=900,
        spent_s=1800.0,
        timed=40,
        expected_s=1500.0,
        training_s=600.0,
        warnings=("Bob: 20 of 21 accepted",),
        pool=BASE,
    ),
    heard=(
        Heard("base model", "tiny@1", BASE, BASE, BESIDE),
        Heard("this cycle's adapter", "tiny@1+ab", BETTER, None),
    ),
    waiting=Waiting(2, 300, 9000.0),
    convergence=Convergence(False, 0, "cycle 3 may have removed up to 30.0 % of the errors: go on"),
    history=(CyclePoint(2, BASE, BASE, BASE, False), CyclePoint(3, BASE, BETTER, BETTER, True)),
)


def words(report: CycleReport) -> str:
    page = render_cycle(report)
    body = page[page.index("<main>") :]
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", body).split()))


def test_a_finished_cycle_has_every_number() -> None:
    text = words(REPORT)
    for told in (
        "Promoted",
        "better than its base by 4 points",
        "40 segments, 38 of them answered",
        "New answers, on the list or not 45",
        "Words put right 120 of 900",
        "20.0 % (15.0 to 26.0 %)",
        "30 minutes, measured in 40 of 45 answers",
        "For each word put right 15 s",
        "Training 10 minutes",
        "this cycle's adapter tiny@1+ab 16.0 % 12.0 to 21.0 % not measured",
        "Bob: 20 of 21 accepted",
        "2 segments of the list wait for an answer.",
        "300 more may be asked about in later cycles; all of that would take 2.5 hours.",
        "Does it still pay? cycle 3 may have removed up to 30.0 % of the errors: go on.",
        f"{100 * BESIDE.difference:+.1f} points better".replace("-", "−"),
    ):
        assert told in text, told
    assert render_cycle(REPORT).count("<polyline") == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"decision": None, "reason": "not yet"}, "Not decided yet"),
        ({"decision": "kept"}, "Not promoted What served before goes on serving."),
        ({"decision": "undecided"}, "Nobody can say yet which is better"),
        ({"heard": (), "history": ()}, "Nothing was measured yet."),
        ({"waiting": None}, "No list of segments was made for this cycle"),
        ({"waiting": Waiting(0, 0, 0.0)}, "There is nothing else to ask about"),
        ({"convergence": Convergence(True, 2, "twice in vain")}, "The loop has converged: twice in vain."),
        ({"left_out": (0, 1)}, "Measured on another test, and so not shown: cycle 0, 1."),
        ({"reviewed": replace(REPORT.reviewed, pool=NOBODY)}, "not measured: no answer yet"),
        ({"reviewed": replace(REPORT.reviewed, timed=0)}, "are expected to take 25 minutes"),
        ({"reviewed": replace(REPORT.reviewed, timed=0, answers=0)}, "nothing was answered"),
    ],
)
def test_what_is_not_known_is_said(changes: dict, told: str) -> None:
    assert told in words(replace(REPORT, **changes))


def test_texts_of_others_are_no_markup_and_nothing_comes_from_elsewhere() -> None:
    evil = "<script>alert(1)</script>"
    reviewed = replace(REPORT.reviewed, warnings=(evil,), pool=replace(NOBODY, reason=evil))
    heard = (Heard(evil, evil, replace(NOBODY, reason=evil), None),)
    page = render_cycle(replace(REPORT, reason=evil, reviewed=reviewed, heard=heard))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert style_source(page) in page


def test_the_sentence_for_a_list_of_pages() -> None:
    assert in_a_sentence(REPORT) == "Promoted: better than its base by 4 points. 45 answers in 30 minutes."
    quiet = replace(REPORT, decision=None, reviewed=replace(REPORT.reviewed, timed=0))
    assert in_a_sentence(quiet) == "Not decided yet: better than its base by 4 points. 45 answers."
