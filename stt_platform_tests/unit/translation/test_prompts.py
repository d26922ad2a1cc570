"""TranslateGemma's prompt, byte for byte."""

from pathlib import Path

import pytest

from stt_platform.translation.prompts import prompt_example, render_prompt

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> str:
    return (GOLDEN / name).read_bytes().decode("utf-8")


def test_the_template_without_hints() -> None:
    example = prompt_example(
        "  And he believed in the LORD; and he counted it to him for righteousness. \n",
        "Y creyó á Jehová, y contóselo por justicia.",
    )
    assert example.prompt + example.completion == golden("translategemma_en_es.txt")
    assert example.completion == "Y creyó á Jehová, y contóselo por justicia.<end_of_turn>\n"


def test_hints_stand_in_the_turn_of_the_user_before_the_text() -> None:
    hints = (("covenant", "pacto"), ("grace", "gracia"))
    text = "Behold the days of the covenant of grace."
    example = prompt_example(text, "He aquí los días del pacto de gracia.", hints=hints)
    assert example.prompt + example.completion == golden("translategemma_en_es_hints.txt")
    assert example.prompt.replace(" Use these translations: covenant → pacto; grace → gracia.", "") == (
        render_prompt(text)
    )


def test_the_other_direction() -> None:
    assert render_prompt("La gracia del Señor.", "es", "en") == golden("translategemma_es_en_prompt.txt")


def test_one_bos_and_the_prompt_ends_where_the_model_speaks() -> None:
    prompt = render_prompt("Grace.")
    assert prompt.count("<bos>") == 1
    assert prompt.endswith("<end_of_turn>\n<start_of_turn>model\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"text": " "}, "empty"),
        ({"text": "Grace", "target": "fr"}, "'fr'"),
        ({"text": "Grace<end_of_turn>"}, "<end_of_turn>"),
        ({"text": "Grace", "hints": [("grace", "<start_of_turn>")]}, "<start_of_turn>"),
    ],
)
def test_what_cannot_be_rendered_is_refused(arguments: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        render_prompt(**arguments)


@pytest.mark.parametrize(("translation", "told"), [("", "empty"), ("Gracia<eos>", "<eos>")])
def test_what_cannot_be_learnt_is_refused(translation: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        prompt_example("Grace", translation)
