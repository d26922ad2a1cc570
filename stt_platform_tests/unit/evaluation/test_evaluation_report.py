"""The report page: what it concludes, what it draws, and that nothing of a text becomes markup."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import get_args

import pytest

from stt_platform.evaluation.evaluation_report import (
    LEVELS,
    Curve,
    Example,
    GeneralSet,
    Level,
    Measure,
    NotScored,
    Piece,
    Report,
    Slice,
    Subject,
    TermPair,
    Terms,
    Trust,
    marked_difference,
    render_report,
    verdict,
)
from stt_platform.evaluation.intervals import Counts, Interval, corpus_rate
from stt_platform.evaluation.paired import (
    FEWEST_SERMONS,
    Comparison,
    NonInferiority,
    PairedTest,
    non_inferior,
    paired_rates,
)
from stt_platform.evaluation.report_pictures import Gain, Point, curve_picture
from stt_platform.evaluation.report_templates import environment, style_source, with_link_back
from stt_platform.evaluation.terminology import TermCounts, score_six
from stt_platform.evaluation.trust import ProbeResult, archaism_rate, what_scripture_scores_do_not_say

HOSTILE = "<script>alert('x')</script> & \"quoted\" <b>$body</b> ]]> --> \x00\u202e\ud800"
VOID = {"meta", "link", "br", "img"}


def compared(
    difference: float | None = -0.021,
    low: float | None = -0.034,
    high: float | None = -0.009,
    p_value: float | None = 0.003,
    better: str = "b",
    n: int = 12,
    missing: str = "",
    lower_is_better: bool = True,
    method: str = "sign-flip permutation over 12 sermons, all flips",
    test: PairedTest = "sign-flip",
) -> Comparison:
    return Comparison(
        *(0.2, 0.179, difference, low, high, p_value, n, method, better, "", missing, lower_is_better),
        fewest=FEWEST_SERMONS,
        test=test,
    )


def rate(value: float | None = 0.2, low: float | None = 0.17, high: float | None = 0.24, reason: str = "") -> Interval:
    return Interval(value, low, high, 12, "t interval over 12 sermons", 0.95, reason)


def wer(comparison: Comparison | None = None, **changes) -> Measure:
    return Measure("WER", "%", rate(), rate(0.179, 0.15, 0.21), comparison, **changes)


TUNED = Subject("base-model", "church test", adapter="adapter-7")
ALONE = Subject("base-model", "church test")
FORTY = {f"general {k}": Counts(3 + k % 4, 100) for k in range(40)}


def report(comparison: Comparison | None = None, **changes) -> Report:
    return Report(**{"title": "Report", "subject": TUNED, "measures": (wer(comparison),)} | changes)


def general(outcome: str, bound: float | None, difference: float = 0.001) -> GeneralSet:
    found = compared(difference, difference - 0.002, difference + 0.002, 0.4, "undecided")
    return GeneralSet("LibriSpeech", wer(found), NonInferiority(outcome, bound, 0.005, ""))


def drawn(macro: str, picture: object) -> str:
    return str(getattr(environment().get_template("parts.html.j2").module, macro)(picture))


def place(gain: float, reach: float) -> float:
    return Gain(gain, None, None, reach, "better", "").x(gain)


class Parsed(HTMLParser):
    """The elements of a page, its text, and whether they close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.words, self.attributes, self.open = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.mark.parametrize(
    ("made", "level", "words"),
    [
        (
            report(compared()),
            "better",
            "Better than its base on the church test: −2.1 points WER (−3.4 to −0.9), 12 sermons, sign-flip p = 0.003.",
        ),
        (
            report(compared(0.021, 0.009, 0.034, 0.0002, "a")),
            "worse",
            "Worse than its base on the church test: +2.1 points WER (+0.9 to +3.4), 12 sermons, sign-flip p < 0.001.",
        ),
        (
            report(compared(-0.004, -0.012, 0.0004, 0.21, "undecided")),
            "undecided",
            "Undecided on the church test, because the difference may be chance: −0.40 points WER (−1.20 to +0.04), "
            "12 sermons, sign-flip p = 0.21.",
        ),
        (
            report(compared(-0.02, -0.2, 0.16, 0.25, "undecided", n=3, missing="6 sermons are needed for a decision")),
            "undecided",
            "Undecided on the church test, because 6 sermons are needed for a decision. Measured so far: "
            "−2.0 points WER (−20.0 to +16.0), 3 sermons.",
        ),
        (
            report(compared(-0.02, None, None, None, "undecided", n=1, missing="6 sermons are needed for a decision")),
            "undecided",
            "Undecided on the church test, because 6 sermons are needed for a decision. Measured so far: "
            "−2.0 points WER, 1 sermon.",
        ),
        (
            report(compared(), general=general("not worse", 0.003)),
            "better",
            "Better than its base on the church test: −2.1 points WER (−3.4 to −0.9), 12 sermons, sign-flip p = 0.003. "
            "And it is not worse on the general set (LibriSpeech): at most 0.30 points WER worse, 0.50 points allowed.",
        ),
        (
            report(compared(), general=general("worse", 0.022, 0.02)),
            "mixed",
            "Better than its base on the church test: −2.1 points WER (−3.4 to −0.9), 12 sermons, sign-flip p = 0.003. "
            "But it is worse on the general set (LibriSpeech): +2.0 points WER (+1.8 to +2.2), 0.50 points allowed.",
        ),
        (
            report(compared(0.021, 0.009, 0.034, 0.01, "a"), general=general("not worse", -0.001)),
            "worse",
            "Worse than its base on the church test: +2.1 points WER (+0.9 to +3.4), 12 sermons, sign-flip p = 0.01. "
            "But it is not worse on the general set (LibriSpeech).",
        ),
        (
            report(compared(), general=general("undecided", 0.012)),
            "better",
            "Better than its base on the church test: −2.1 points WER (−3.4 to −0.9), 12 sermons, sign-flip p = 0.003. "
            "But whether it is worse on the general set (LibriSpeech) is undecided: it may be up to 1.2 points WER worse, "
            "0.50 points allowed.",
        ),
        (
            report(
                compared(-0.02, -0.2, 0.16, 0.25, "undecided", 3, "6 sermons are needed"),
                general=general("undecided", None),
            ),
            "undecided",
            "Undecided on the church test, because 6 sermons are needed. Measured so far: −2.0 points WER "
            "(−20.0 to +16.0), 3 sermons. And whether it is worse on the general set (LibriSpeech) is undecided.",
        ),
        (
            report(compared(), test_set_touched=True, test_set_problem="sermon 'a' of it was trained on"),
            "invalid",
            "Not valid on the church test: sermon 'a' of it was trained on.",
        ),
        (report(), "nothing", "Nothing was compared on the church test."),
        (
            report(compared(None, None, None, None, "undecided", n=0, missing="6 sermons are needed for a decision")),
            "nothing",
            "Nothing was compared on the church test: 6 sermons are needed for a decision.",
        ),
        (report(measures=()), "nothing", "Nothing was compared on the church test."),
        (
            report(subject=ALONE),
            "alone",
            "A base model by itself on the church test: WER 20.0 % (17.0 to 24.0 %), 12 sermons.",
        ),
        (
            report(subject=ALONE, measures=(Measure("WER", "%", rate(0.2, None, None, "2 sermons: too few")),)),
            "alone",
            "A base model by itself on the church test: WER 20.0 %, without an interval: 2 sermons: too few.",
        ),
        (report(subject=ALONE, measures=()), "nothing", "Nothing could be scored on the church test."),
        (
            report(subject=ALONE, measures=(Measure("COMET", "", rate(None, None, None, "its model is not there")),)),
            "nothing",
            "Nothing could be scored on the church test: its model is not there.",
        ),
    ],
)
def test_verdict_in_words(made: Report, level: str, words: str) -> None:
    assert verdict(made).level == level
    assert verdict(made).words == words
    text = Parsed(render_report(made)).text
    shown = LEVELS[level]
    assert text.index(shown.name) < text.index(shown.meaning) < text.index(words) < text.index("Scores on the")


def test_a_general_set_that_was_not_judged_decides_nothing() -> None:
    for made in (report(compared()), report(subject=ALONE)):
        beside = replace(made, general=GeneralSet("LibriSpeech", wer()))
        assert verdict(beside) == verdict(made)
        assert "Texts from outside the church" in Parsed(render_report(beside)).text


def test_no_two_levels_look_alike_without_their_colours() -> None:
    assert set(LEVELS) == set(get_args(Level))
    for shown in ("sign", "name", "meaning"):
        assert len({getattr(level, shown) for level in LEVELS.values()}) == len(LEVELS)


@pytest.mark.parametrize(
    ("made", "figures"),
    [
        (
            report(compared()),
            "Base WER 20.0 % 17.0 to 24.0 % Adapter WER 17.9 % 15.0 to 21.0 % Difference −2.1 points −3.4 to −0.9",
        ),
        (
            report(compared(-0.02, None, None, None, "undecided", n=1, missing="6 sermons are needed")),
            "Base WER 20.0 % 17.0 to 24.0 % Adapter WER 17.9 % 15.0 to 21.0 % Difference −2.0 points no interval",
        ),
        (report(subject=ALONE), "WER 20.0 % 17.0 to 24.0 %"),
        (
            report(subject=ALONE, measures=(Measure("WER", "%", rate(0.2, None, None, "too few")),)),
            "WER 20.0 % no interval",
        ),
        (report(compared(), test_set_touched=True, test_set_problem="it was trained on"), None),
        (report(), None),
    ],
)
def test_the_figures_stand_in_the_verdict_where_they_may_be_trusted(made: Report, figures: str | None) -> None:
    found = re.search(r'<dl class="figures">.*?</dl>', render_report(made), re.DOTALL)
    assert (found and Parsed(found[0]).text) == figures


def test_each_cell_says_its_name_where_the_heads_are_gone() -> None:
    page = render_report(full())
    named = re.findall(r'<td data-name="([^"]+)">', page)
    assert len(named) == page.count("<td") - page.split('class="facts"')[1].count("<td")
    assert {"Base", "Adapter", "Difference (← worse, better →)", "Forbidden: adapter", "Translation"} <= set(named)


def test_only_intervals_that_are_there_are_explained() -> None:
    lost = Measure("COMET", "", rate(None, None, None, "its model is not there"))
    assert "The small numbers" in render_report(report(compared()))
    assert "The small numbers" not in render_report(report(subject=ALONE, measures=(lost,)))


def test_a_served_page_leads_back_and_is_the_same_otherwise() -> None:
    page = render_report(full())
    served = with_link_back(page, "/evaluation?a=1&b=2", "All <reports>")
    link = '<nav class="back"><a href="/evaluation?a=1&amp;b=2">← All &lt;reports&gt;</a></nav>\n'
    assert served.replace(link, "", 1) == page
    assert Parsed(served).tags.index("a") < Parsed(served).tags.index("h1")
    assert with_link_back("no page", "/", "All") == "no page"


def test_the_style_of_a_page_is_known_by_its_hash() -> None:
    assert style_source(render_report(full())) == style_source()
    other = style_source("<style>p { margin: 0; }</style><p>text</p>")
    assert other.startswith("'sha256-") and other != style_source()
    assert style_source("<p>no style</p>") == "'none'"


def test_a_score_where_higher_is_better() -> None:
    found = compared(
        1.3,
        0.4,
        2.2,
        0.01,
        n=200,
        lower_is_better=False,
        method="paired bootstrap and approximate randomisation",
        test="randomisation",
    )
    measure = Measure("chrF++", "", rate(50.0), rate(51.3), found, "segments", lower_is_better=False)
    said = verdict(report(measures=(measure,))).words
    assert said.endswith("+1.3 chrF++ (+0.4 to +2.2), 200 segments, randomisation p = 0.01.")


def test_a_comparison_in_the_other_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="lower_is_better=False"):
        wer(compared(), lower_is_better=False)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "pieces"),
    [
        ("In the beginning", "in the beginning.", [("same", "in the beginning.")]),
        (
            "the Lord is my shepherd",
            "the lord my shepherd",
            [("same", "the lord"), ("missing", "is"), ("same", "my shepherd")],
        ),
        ("a b c", "a x c", [("same", "a"), ("missing", "b"), ("extra", "x"), ("same", "c")]),
        ("a b c d", "a x d", [("same", "a"), ("missing", "b c"), ("extra", "x"), ("same", "d")]),
        ("a b", "a b and more", [("same", "a b"), ("extra", "and more")]),
        ("", "thank you", [("extra", "thank you")]),
        ("amen", " \n ", [("missing", "amen")]),
        ("", "", []),
        ("— so —", "— so —", [("same", "— so —")]),
        ("¿Quién es?", "quién  es", [("same", "quién es")]),
    ],
)
def test_the_difference_is_marked_word_by_word(reference: str, hypothesis: str, pieces: list) -> None:
    assert marked_difference(reference, hypothesis) == [Piece(*piece) for piece in pieces]


def test_pieces_hold_both_texts() -> None:
    reference, hypothesis = "For God so loved the world, that he gave", "So God so loved a world he gave up"
    pieces = marked_difference(reference, hypothesis)
    assert " ".join(piece.text for piece in pieces if piece.kind != "missing") == hypothesis
    assert sum(len(piece.text.split()) for piece in pieces if piece.kind != "extra") == len(reference.split())


def test_ten_thousand_words_are_cut() -> None:
    runaway = Example("loop", "Let us pray.", "let us pray " * 3_333)
    page = render_report(report(compared(), worst=(runaway,)))
    assert "and 9,919 more words" in page
    assert len(page) < 20_000


def test_a_gain_is_drawn_where_it_is() -> None:
    gain = Gain(0.5, -0.25, 2.0, reach=1.0, shade="undecided", label="x", margin=0.5)
    assert [gain.x(each) for each in (-1, 0, 0.5, 1, 3)] == [10, 100, 145, 190, 190]
    picture = drawn("gain", gain)
    assert 'class="zero" x1="100.0" x2="100.0"' in picture
    assert 'class="margin" x1="55.0" x2="55.0"' in picture
    assert 'class="span" x1="77.5" x2="190.0"' in picture
    assert 'class="ring" cx="145.0"' in picture
    # The end beyond the reach is an arrow to the right, the other one a stroke.
    assert 'd="M185.0 7.0L190.0 12.0L185.0 17.0"' in picture
    assert 'class="span" x1="77.5" x2="77.5"' in picture


@pytest.mark.parametrize(("lower_is_better", "side"), [(True, 1), (False, -1)])
def test_better_lies_right_whatever_the_sign(lower_is_better: bool, side: int) -> None:
    found = compared(better="b" if lower_is_better else "a", lower_is_better=lower_is_better)
    page = render_report(report(measures=(wer(found, lower_is_better=lower_is_better),)))
    places = {name: float(x) for name, x in re.findall(r'class="(dot|zero)" (?:cx|x1)="([\d.]+)"', page)}
    reach = 1.08 * 0.034
    assert places == {"zero": 100.0, "dot": place(side * 0.021, reach)}
    x1, x2 = re.search(r'class="span" x1="([\d.]+)" x2="([\d.]+)"', page).groups()
    assert {float(x1), float(x2)} == {place(side * 0.034, reach), place(side * 0.009, reach)}
    assert float(x1) < float(x2)


def test_an_interval_of_two_sermons_does_not_set_the_scale() -> None:
    wide = compared(-0.02, -0.9, 0.86, 0.5, "undecided", n=2, missing="6 sermons are needed for a decision")
    page = render_report(report(measures=(wer(compared()), wer(wide))))
    assert f'class="dot" cx="{place(0.021, 1.08 * 0.034)}"' in page
    assert page.count("L10.0 12.0") == page.count("L190.0 12.0") == 1


def test_a_curve_is_drawn_where_it_is() -> None:
    points = [Point(1, 20.0, 15.0, 25.0), Point(2, None), Point(3, 10.0), Point(5, 12.0, 10.0, 14.0)]
    picture = drawn("curve", curve_picture(points, "WER"))
    lines = re.findall(r'<polyline class="curve" points="([^"]+)"', picture)
    assert [len(line.split()) for line in lines] == [1, 2]
    dots = [(float(x), float(y)) for x, y in re.findall(r'class="dot" cx="([\d.]+)" cy="([\d.]+)"', picture)]
    ticks = {int(text): float(y) - 4 for y, text in re.findall(r'class="end" x="52" y="([\d.]+)">(\d+)<', picture)}
    assert [ticks[20], ticks[10]] == [dots[0][1], dots[1][1]]
    assert min(ticks) <= 10 and max(ticks) >= 25
    assert (dots[1][0] - dots[0][0]) / (dots[2][0] - dots[0][0]) == pytest.approx(0.5, abs=0.01)
    assert picture.count('class="bar"') == 2


@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [-1.0, 1.0], [0.001, 0.002], [1e6, 2e6]])
def test_a_curve_has_an_axis_for_any_values(values: list[float]) -> None:
    picture = drawn("curve", curve_picture([Point(k, value) for k, value in enumerate(values)], "x"))
    heights = [float(y) for y in re.findall(r'class="dot" cx="[\d.]+" cy="([\d.]+)"', picture)]
    assert all(14 <= y <= 180 for y in heights)
    labels = re.findall(r'class="end"[^>]*>([^<]+)<', picture)
    assert 2 <= len(labels) <= 8 and len(set(labels)) == len(labels)


def test_a_curve_without_values_is_refused_and_said_in_words() -> None:
    with pytest.raises(ValueError, match="leave it out"):
        curve_picture([Point(1, None)], "WER")
    page = render_report(report(compared(), curves=(Curve("WER", "%", (Point(1, None),)),)))
    assert "No cycle has a score yet." in page


def counts(hits: int) -> TermCounts:
    return TermCounts(1000, 820, hits, hits - 20, hits - 60, 700, 180, 20, 7, 1)


def full() -> Report:
    """Every part, with numbers that the platform's own functions made."""
    words = {f"sermon {k:02}": Counts(90 + 13 * k % 40, 600 + 11 * k) for k in range(12)}
    better = {name: Counts(item.errors - 9 - 5 * (k % 4), item.words) for k, (name, item) in enumerate(words.items())}
    names = {f"name {k}": Counts(4 + k % 5, 30) for k in range(12)}
    fewer = {name: Counts(max(0, item.errors - k % 3), 30) for k, (name, item) in enumerate(names.items())}
    few = dict(list(words.items())[:3]), dict(list(better.items())[:3])

    def measure(name: str, a: dict, b: dict, explanation: str, clusters: str = "sermons") -> Measure:
        rates = corpus_rate(a.values()), corpus_rate(b.values())
        return Measure(name, "%", *rates, paired_rates(a, b), clusters, explanation)

    main = measure("WER", words, better, "of 100 spoken words, so many are wrong, missing or added")
    outside = measure("WER", FORTY, FORTY | {"general 3": Counts(7, 100)}, "words wrong, missing or added", "speakers")
    chrf = compared(
        1.3,
        0.4,
        2.2,
        0.011,
        n=412,
        lower_is_better=False,
        method="paired bootstrap (1,000 resamples) and randomisation",
        test="randomisation",
    )
    plain = Interval(51.2, None, None, 412, "sacrebleu", 0.95, "only the difference has one")
    return Report(
        title="Speech adapter of cycle 4",
        subject=Subject(
            model="openai/whisper-small",
            test_set="church test",
            adapter="adapters/speech/cycle-4",
            revision="3f9a1c0d7b52",
            data_hash="sha256:8d1f4be02c6a97e0",
            prompt="<|en|><|transcribe|>",
            decoding=(("beams", "5"), ("temperature", "0")),
            more=(("Measured on", "2026-11-22"),),
        ),
        measures=(
            main,
            measure("Names and references", names, fewer, "of 100 names and references, so many are missed"),
            Measure(
                "chrF++", "", plain, replace(plain, value=52.5), chrf, "segments", "likeness to the reference", False
            ),
            Measure(
                "COMET",
                "",
                Interval(None, None, None, 0, "", 0.95, "its model is not on this machine"),
                lower_is_better=False,
            ),
            Measure(
                "Invented words",
                "per minute",
                Interval(3.21, None, None, 12, "", 0.95, "one stretch only"),
                Interval(1.0, None, None, 12, "", 0.95, "one stretch only"),
                explanation="words written in silence",
            ),
        ),
        general=GeneralSet("LibriSpeech test-clean", outside, non_inferior(outside.comparison, 0.005)),
        slices=(
            Slice("genre", "epistles", main),
            Slice("genre", "poetry", measure("WER", *few, "")),
            Slice("view", "enhanced", main),
            Slice("view", "original", outside),
        ),
        best=(
            Example(
                "sermon 03, 12:40",
                "Turn with me to Second Timothy, chapter three.",
                "turn with me to second timothy chapter three",
                "turn with me to the second team of the chapter three",
                note="WER 12.5 % → 0 %",
            ),
        ),
        worst=(
            Example("sermon 09, 41:02", "Amen.", "thank you for watching " * 60, "amen", note="WER 0 % → 24,000 %"),
            Example(
                "sermon 10, 02:11", "He is the propitiation for our sins.", "", "he is the preposition for our sins"
            ),
        ),
        terms=Terms(
            TermPair(counts(560), counts(610)),
            (
                ("no_hints", TermPair(counts(420), counts(450))),
                ("hinted", TermPair(counts(640), counts(720))),
                ("random_hints", TermPair(counts(415), None)),
            ),
            score_six(["Jesús es la propiciación por nuestros pecados", "", *["No sé qué decir"] * 4]),
        ),
        trust=Trust(
            (
                ("Base model", archaism_rate(["Y aconteció que fué á Jerusalem", "Él vino a casa"])),
                ("Reference", archaism_rate(["Y díjole: Heme aquí", "Él vino"])),
                ("Nobody", archaism_rate([])),
            ),
            ProbeResult(100, 100, 60, 20, 7, 1, 5, 40, 0.31, 0.5, "in parts", "It seems to know parts of it.", ()),
        ),
        curves=(
            Curve(
                "WER",
                "%",
                (
                    Point(0, 0.19, 0.16, 0.22),
                    Point(1, 0.176, 0.15, 0.205),
                    Point(2, None),
                    Point(3, 0.168),
                    Point(4, 0.163, 0.14, 0.19),
                ),
            ),
        ),
        not_scored=(
            NotScored("stretch of audio", "there is no reference: transcribe it, or mark it as no speech", 3),
            NotScored("COMET", "its model is not on this machine"),
        ),
        signatures=(("chrF++", "nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0"),),
    )


def test_the_full_page_holds_every_part() -> None:
    page = render_report(full())
    text = Parsed(page).text
    for said in (
        "Better than its base on the church test",
        "it is not worse on the general set (LibriSpeech test-clean)",
        "sha256:8d1f4be02c6a97e0",
        "beams 5, temperature 0",
        "its model is not on this machine",
        "By genre",
        "6 sermons are needed for a decision",
        "Hinted terms with hints to other terms",
        "820 of 1,000 places (82 %)",
        "the glossary gives: 67.1 %, in the reference 85.4 %",
        "It seems to know parts of it.",
        *what_scripture_scores_do_not_say(),
        "Base model: 50 % of 2 texts",
        "3 × stretch of audio",
        "… and 161 more words",
        "nothing was written",
        "nrefs:1|case:mixed|eff:yes|nc:6|nw:2",
        "3.2 per minute",
    ):
        assert said in text, said
    assert "Nobody" not in text
    assert "cycle 2: not scored; cycle 3: 16.8 %, no interval; cycle 4: 16.3 % (14.0 to 19.0 %)" in page
    assert "<del>" in page and "missing: " in page and "added: " in page


def test_nothing_is_fetched_and_nothing_runs() -> None:
    page = render_report(full())
    parsed = Parsed(page)
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(parsed.tags)
    assert not [name for _, name, _ in parsed.attributes if name in ("src", "href", "style") or name.startswith("on")]
    assert "://" not in page and "url(" not in page and "@import" not in page
    policy = [value for tag, name, value in parsed.attributes if tag == "meta" and name == "content"]
    assert any(value.startswith(f"default-src 'none'; style-src {style_source()};") for value in policy)


def hostile(value: object) -> object:
    """The same structure with every text of others replaced."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, tuple):
        return tuple(hostile(item) for item in value)
    return value


def test_hostile_texts_stay_texts() -> None:
    plain = full()
    subject = Subject(**{name: hostile(value) for name, value in vars(plain.subject).items()})

    def measure(item: Measure) -> Measure:
        base = replace(item.base, reason=HOSTILE, method=HOSTILE) if item.base else None
        found = replace(item.comparison, method=HOSTILE, missing=HOSTILE, fewest=10**9) if item.comparison else None
        return replace(item, name=HOSTILE, base=base, comparison=found, clusters=HOSTILE, explanation=HOSTILE)

    made = replace(
        plain,
        title=HOSTILE,
        subject=subject,
        measures=tuple(map(measure, plain.measures)),
        general=replace(plain.general, name=HOSTILE, measure=measure(plain.general.measure)),
        slices=tuple(Slice(f"{HOSTILE}{k}", HOSTILE, measure(s.measure)) for k, s in enumerate(plain.slices)),
        best=(Example(*[HOSTILE] * 6),),
        worst=(Example(HOSTILE, "amen", HOSTILE, HOSTILE),),
        terms=Terms(six=score_six([HOSTILE] * 6)),
        trust=Trust(((HOSTILE, archaism_rate(["Fué"])),), replace(plain.trust.probe, reason=HOSTILE)),
        curves=(replace(plain.curves[0], name=HOSTILE, unit=HOSTILE), Curve(HOSTILE, "", (Point(1, None),))),
        not_scored=(NotScored(HOSTILE, HOSTILE),),
        signatures=((HOSTILE, HOSTILE),),
        language=HOSTILE,
    )
    touched = replace(made, test_set_touched=True, test_set_problem=HOSTILE)
    for each in (made, touched, replace(made, subject=replace(subject, adapter=""))):
        page = render_report(each)
        page.encode("utf-8")
        parsed = Parsed(page)
        assert not {"script", "b"} & set(parsed.tags)
        assert "\x00" not in page and "\u202e" not in page
        assert "<b>$body</b>" in parsed.text


def test_empty_parts_are_left_out_or_said() -> None:
    for subject in (TUNED, ALONE):
        page = render_report(Report("Empty", subject))
        text = Parsed(page).text
        assert "Nothing was scored." in text and "Nothing was reported as left out." in text
        for heading in ("Examples", "Terms of faith", "Over the cycles", "Signatures", "Parts of the test set"):
            assert heading not in text
        assert ("No general set was measured" in text) == (subject is TUNED)
    assert "none: the base model is measured by itself" in text
    assert "Terms of faith" not in render_report(report(terms=Terms()))
    assert "was not asked" in render_report(report(trust=Trust()))


def test_a_base_model_by_itself_has_one_column_of_values() -> None:
    alone = replace(full(), subject=ALONE, general=None)
    parsed = Parsed(render_report(alone))
    assert "Adapter" not in parsed.text.replace("Adapter none", "")
    assert "Difference" not in parsed.text


def test_the_page_is_the_same_each_time() -> None:
    assert render_report(full()) == render_report(full())


@pytest.mark.parametrize("given", [{"test_set_touched": True}, {"test_set_problem": "it was trained on"}])
def test_a_test_set_that_was_touched_is_said_and_marked(given: dict) -> None:
    with pytest.raises(ValueError, match="give both or neither"):
        report(compared(), **given)
