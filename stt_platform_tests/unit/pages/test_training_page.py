"""What the page of the trainings is given of the files that trainings write."""

import json
import os
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stt_platform.pages import app as listening_app
from stt_platform.pages.training_data import STALLED_AFTER_S, training_overview

NOW_S = 1_800_000_000.0


def write(home: Path, name: str, *, ago_s: float = 1.0, text: str | None = None, **changed) -> Path:
    """A file as a training writes it."""
    path = home / "training" / "live" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"asset": "whisper_adapter", "part": "0", "status": "training", "steps": steps(3)} | changed
    path.write_text(json.dumps(state) if text is None else text, encoding="utf-8")
    os.utime(path, (NOW_S - ago_s, NOW_S - ago_s))
    return path


def steps(count: int, total: int = 400, *, loss=lambda step: 2.0 / step, evaluated=()) -> list[dict]:
    return [
        {
            "step": step,
            "steps_total": total,
            "loss": loss(step),
            "tokens_per_s": 100.0 * step,
            "memory_bytes": 2_000_000_000,
            "evaluation": {"loss": 1.5, "wer": 0.25, "f1": 0.5} if step in evaluated else {},
        }
        for step in range(1, count + 1)
    ]


def cards(home: Path) -> list[dict]:
    return training_overview(home, now=lambda: NOW_S)["trainings"]


def test_a_training_is_named_in_words_with_its_newest_numbers(tmp_path: Path) -> None:
    write(tmp_path, "whisper_adapter-0", steps=steps(4, evaluated=(2, 4)))
    (card,) = cards(tmp_path)
    assert (card["title"], card["part"], card["status"]) == ("Recogniser", "cycle 0", "training")
    assert (card["step"], card["steps_total"], card["memory_bytes"]) == (4, 400, 2e9)
    assert card["tokens_per_s"] == 250.0
    assert card["curve"] == [[1, 2.0], [2, 1.0], [3, pytest.approx(2 / 3)], [4, 0.5]]
    assert [(measure["name"], measure["points"]) for measure in card["measures"]] == [
        ("loss", [[2, 1.5], [4, 1.5]]),
        ("wer", [[2, 0.25], [4, 0.25]]),
        ("f1", [[2, 0.5], [4, 0.5]]),
    ]


@pytest.mark.parametrize(
    ("asset", "part", "title", "named"),
    [
        ("whisper_adapter", "12", "Recogniser", "cycle 12"),
        ("translategemma_adapter", "B", "Translator", "TranslateGemma B"),
        ("marian_model", None, "Small translator", None),
        ("another_model", "x", "another_model", "x"),
    ],
)
def test_every_asset_has_a_name(tmp_path: Path, asset: str, part: str | None, title: str, named: str | None) -> None:
    write(tmp_path, "one", asset=asset, part=part)
    (card,) = cards(tmp_path)
    assert (card["title"], card["part"]) == (title, named)


@pytest.mark.parametrize(
    ("status", "ago_s", "shown"),
    [
        ("training", 0.0, "training"),
        ("training", STALLED_AFTER_S - 1, "training"),
        ("training", STALLED_AFTER_S + 1, "stalled"),
        ("done", 10 * STALLED_AFTER_S, "done"),
        ("stopped early", 10 * STALLED_AFTER_S, "stopped early"),
        ("interrupted", 10 * STALLED_AFTER_S, "interrupted"),
    ],
)
def test_one_that_writes_nothing_for_long_has_stalled(tmp_path: Path, status: str, ago_s: float, shown: str) -> None:
    write(tmp_path, "one", status=status, ago_s=ago_s)
    (card,) = cards(tmp_path)
    assert card["status"] == shown
    assert card["verdict"]
    assert card["meaning"]


def test_those_at_work_come_first_then_the_newest(tmp_path: Path) -> None:
    write(tmp_path, "old", status="done", ago_s=900)
    write(tmp_path, "new", status="done", ago_s=90)
    write(tmp_path, "stalled", ago_s=100_000)
    write(tmp_path, "at-work", ago_s=120)
    assert [card["name"] for card in cards(tmp_path)] == ["at-work", "new", "old", "stalled"]


def test_a_long_curve_is_thinned_and_keeps_its_ends_and_its_height(tmp_path: Path) -> None:
    write(tmp_path, "one", steps=steps(10_001, 20_000, loss=lambda step: 5.0 - step / 10_000))
    (card,) = cards(tmp_path)
    curve = card["curve"]
    assert 300 <= len(curve) <= 400
    assert curve[-1][0] == 10_001
    assert curve[0][1] == pytest.approx(5.0, abs=0.01)
    assert curve[-1][1] == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"asset": "whisper_adapter", "part"',
        "[]",
        "null",
        '{"asset": "whisper_adapter", "part": "0", "steps": []}',
        '{"asset": "whisper_adapter", "part": "0", "status": "resting", "steps": []}',
        '{"asset": "whisper_adapter", "part": "0", "status": "done", "steps": [{"step": 1}]}',
        '{"asset": "whisper_adapter", "part": "0", "status": "done", "steps": 7}',
    ],
)
def test_a_broken_file_is_a_card_that_says_so_and_the_others_are_shown(tmp_path: Path, text: str) -> None:
    broken = write(tmp_path, "broken", text=text)
    write(tmp_path, "whole")
    by_name = {card["name"]: card for card in cards(tmp_path)}
    assert by_name["whole"]["problem"] is None
    assert by_name["broken"]["status"] == "unreadable"
    assert str(broken) in by_name["broken"]["problem"]


def test_what_is_no_number_is_a_hole_in_the_curve(tmp_path: Path) -> None:
    write(tmp_path, "one", steps=steps(3, loss=lambda step: float("nan") if step == 2 else 1.0))
    answer = TestClient(listening_app.create_app(tmp_path), base_url="http://127.0.0.1:3001").get("/api/training")
    assert answer.json()["trainings"][0]["curve"] == [[1, 1.0], [2, None], [3, 1.0]]


def test_a_training_before_its_first_step(tmp_path: Path) -> None:
    write(tmp_path, "one", steps=[])
    (card,) = cards(tmp_path)
    assert (card["step"], card["steps_total"], card["tokens_per_s"], card["curve"]) == (0, None, None, [])


def test_a_file_that_grew_is_read_anew(tmp_path: Path) -> None:
    write(tmp_path, "one", steps=steps(3), ago_s=5)
    assert cards(tmp_path)[0]["step"] == 3
    write(tmp_path, "one", steps=steps(5), ago_s=3)
    assert cards(tmp_path)[0]["step"] == 5


def test_without_anything_there_is_nothing(tmp_path: Path) -> None:
    assert cards(tmp_path) == []
