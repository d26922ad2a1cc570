"""Scores of translations are sacrebleu's own, whole or resampled, and nothing unscorable becomes a zero."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from stt_platform.evaluation.translation_scores import Translated, translation_scores

PAIRS = [
    ("En el principio creó Dios los cielos y la tierra.", "EN el principio crió Dios los cielos y la tierra."),
    ("Y la tierra estaba vacía.", "Y la tierra estaba desordenada y vacía, y las tinieblas estaban sobre la haz."),
    ("Y dijo Dios: Sea la luz: y fue la luz.", "Y dijo Dios: Sea la luz: y fué la luz."),
    ("", "Y vió Dios que la luz era buena: y apartó Dios la luz de las tinieblas."),
    ("Jesús lloró.", "Y lloró Jesús."),
    ("palabra " * 50, "Porque de tal manera amó Dios al mundo, que ha dado á su Hijo unigénito."),
]
ROWS = [
    Translated(f"s{k}", hypothesis, (reference,), "kjv" if k % 2 else "web")
    for k, (hypothesis, reference) in enumerate(PAIRS)
]
HYPOTHESES, REFERENCES = zip(*PAIRS, strict=True)


def test_scores_are_those_of_the_library():
    scores = translation_scores(ROWS)
    bleu = sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES])
    chrf = sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES], word_order=2)
    assert scores.bleu.score() == bleu.score
    assert scores.chrf.score() == chrf.score
    for segment, (hypothesis, reference) in zip(scores.segments, PAIRS, strict=True):
        assert segment.chrf == sacrebleu.sentence_chrf(hypothesis, [reference], word_order=2).score


def test_scores_and_signatures_are_those_of_the_command_line(tmp_path: Path):
    for name, texts in (("hyp", HYPOTHESES), ("ref", REFERENCES)):
        (tmp_path / name).write_text("".join(f"{text.rstrip()}\n" for text in texts), encoding="utf-8")
    options = ["-m", "bleu", "chrf", "--chrf-word-order", "2", "-w", "12", "-f", "text"]
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "ref", "-i", tmp_path / "hyp", *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    scores = translation_scores(ROWS)
    assert f"BLEU|{scores.bleu.signature} = {scores.bleu.score():.12f} " in printed
    assert f"chrF2++|{scores.chrf.signature} = {scores.chrf.score():.12f}" in printed


def test_a_resampled_corpus_is_scored_from_its_counts():
    scores = translation_scores(ROWS)
    for chosen in ([0, 0, 2, 5], np.array([4]), [1, 2, 3], [0, 2, 4], [4, 5], [0, 1, 2, 3]):
        hypotheses, references = [HYPOTHESES[k] for k in chosen], [REFERENCES[k] for k in chosen]
        assert scores.bleu.score(chosen) == sacrebleu.corpus_bleu(hypotheses, [references]).score
        assert scores.chrf.score(chosen) == sacrebleu.corpus_chrf(hypotheses, [references], word_order=2).score
    assert scores.bleu.score([]) is None


def test_references_may_be_missing():
    second = [None, "La tierra estaba vacía.", "", "Dios vio que la luz era buena.", "Jesús lloró.", " … "]
    rows = [Translated(f"s{k}", h, (r, other)) for k, ((h, r), other) in enumerate(zip(PAIRS, second, strict=True))]
    streams = [REFERENCES, [None, second[1], None, second[3], second[4], None]]
    scores = translation_scores(rows)
    assert scores.bleu.score() == sacrebleu.corpus_bleu(HYPOTHESES, streams).score
    assert scores.chrf.score() == sacrebleu.corpus_chrf(HYPOTHESES, streams, word_order=2).score
    assert scores.bleu.signature.startswith("nrefs:var|")
    assert scores.segments[4].chrf == 100.0


@pytest.mark.parametrize(
    ("references", "reason"),
    [
        ((), "there is no reference, or an empty one"),
        ((None,), "there is no reference, or an empty one"),
        (("  ", None), "there is no reference, or an empty one"),
        (("¡…!",), "reference '¡…!' holds no letter or digit"),
    ],
)
def test_without_a_reference_nothing_is_scored(references, reason: str):
    alone = translation_scores([Translated("s", "Dios es amor.", references)])
    assert (alone.segments[0].chrf, alone.segments[0].status, alone.segments[0].reason) == (None, "not scored", reason)
    assert (alone.bleu.score(), alone.chrf.score(), len(alone.bleu)) == (None, None, 0)
    beside = translation_scores([Translated("s", "Dios es amor.", references), *ROWS])
    assert beside.bleu.score() == translation_scores(ROWS).bleu.score()
    assert [segment.status for segment in beside.segments].count("not scored") == 1


def test_odd_hypotheses_get_a_number():
    scores = translation_scores([Translated("s", text, ("Jesús lloró.",)) for text in ("", "...", "lloró " * 10_000)])
    assert [segment.status for segment in scores.segments] == ["scored"] * 3
    assert scores.segments[0].chrf == 0.0
    assert all(0 < segment.chrf < 20 for segment in scores.segments[1:])
    assert translation_scores([]).bleu.score() is None


def test_both_sides_in_the_spelling_of_today():
    old = Translated("s", "Y fue á Belén, y vio la luz", ("Y fué a Belén, y vió la luz",))
    assert translation_scores([old]).chrf.score() < 95
    today = translation_scores([old], spelling_today=True)
    assert today.chrf.score() == pytest.approx(100.0)
    assert "|spelling:today|version:" in today.bleu.signature
    assert "|spelling:today|version:" in today.chrf.signature
    assert "spelling" not in translation_scores([old]).bleu.signature
