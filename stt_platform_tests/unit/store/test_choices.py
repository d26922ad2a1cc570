"""Choices that measurements record, and settings that override them."""

from pathlib import Path
from typing import get_args

import pytest

from stt_platform.errors import PlatformError
from stt_platform.evaluation.speech_scores import label_bands
from stt_platform.settings import AssessmentSettings
from stt_platform.store.choices import (
    LABEL_POLICIES,
    LabelPolicy,
    ViewChoice,
    label_policy,
    record_label_policy,
    record_training_view,
    training_view,
)


def test_the_policies_are_those_of_the_bands_and_of_the_setting() -> None:
    assert tuple(band.label_policy for band in label_bands()) == LABEL_POLICIES
    assert get_args(AssessmentSettings.model_fields["label_policy"].annotation) == ("measured", *LABEL_POLICIES)


def test_what_was_measured_counts_until_somebody_sets_it_by_hand(tmp_path: Path) -> None:
    assert training_view(tmp_path, "measured").view == "enhanced"
    assert label_policy(tmp_path, "measured").policy == "drop_worst"
    record_training_view(tmp_path, ViewChoice("original", "1.2 points fewer"))
    record_label_policy(tmp_path, "transcribe_again", "34 %")
    assert training_view(tmp_path, "measured") == ViewChoice("original", "1.2 points fewer")
    assert label_policy(tmp_path, "measured") == LabelPolicy("transcribe_again", "34 %")
    assert training_view(tmp_path, "enhanced").why.startswith("set by hand")
    assert label_policy(tmp_path, "drop_worst").why.startswith("set by hand")
    record_label_policy(tmp_path, None, "")
    record_label_policy(tmp_path, None, "")
    assert label_policy(tmp_path, "measured").why.startswith("the default")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"view": "loud", "policy": "bold"}', "null"])
def test_what_names_no_choice_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "choices").mkdir()
    for name in ("training_view", "label_policy"):
        (tmp_path / "choices" / f"{name}.json").write_text(content)
    with pytest.raises(PlatformError, match=r'training_view.json does not name a view.*want \{"view": "original"\} or'):
        training_view(tmp_path, "measured")
    with pytest.raises(PlatformError, match=r'label_policy.json does not name a policy.*"drop_worst".*or delete it'):
        label_policy(tmp_path, "measured")
