"""TranslateGemma's prompt, written by hand.

Its chat template takes one user turn and nothing else, so a glossary hint could only go into the text to translate. What
is rendered here without hints is what the template renders, byte for byte. It begins with `<bos>`: tokenise it with
`add_special_tokens=False`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

END_OF_TURN = "<end_of_turn>"

LANGUAGES = {"en": "English", "es": "Spanish"}
_CONTROL = ("<bos>", "<eos>", "<pad>", "<start_of_turn>", END_OF_TURN)


@dataclass(frozen=True)
class PromptExample:
    """What the model reads, and what it is to write: only `completion` counts in the loss."""

    prompt: str
    completion: str


def render_prompt(text: str, source: str = "en", target: str = "es", hints: Sequence[tuple[str, str]] = ()) -> str:
    """Render the prompt up to the model's turn.

    Hints stand in the user's turn, after what the model is told to do and before the request with its colon, so they
    cannot be taken for text to translate: "Use these translations: covenant → pacto; grace → gracia."

    Args:
        text: white space at both ends goes, as in the template.
        source, target: "en" or "es".
        hints: (term, translation).

    Raises:
        ValueError: for an unknown language, an empty text, or a control token in text or hints.
    """
    for name, code in (("source", source), ("target", target)):
        if code not in LANGUAGES:
            raise ValueError(f"{name} language {code!r}: use one of {', '.join(LANGUAGES)}")
    if not text.strip():
        raise ValueError(f"text {text!r} is empty: there is nothing to translate")
    _refuse_control(text, *(side for hint in hints for side in hint))
    spoken, wanted = LANGUAGES[source], LANGUAGES[target]
    terms = "; ".join(f"{term} → {translation}" for term, translation in hints)
    use = f" Use these translations: {terms}." if hints else ""
    return (
        f"<bos><start_of_turn>user\n"
        f"You are a professional {spoken} ({source}) to {wanted} ({target}) translator. Your goal is to accurately "
        f"convey the meaning and nuances of the original {spoken} text while adhering to {wanted} grammar, vocabulary, "
        f"and cultural sensitivities.\n"
        f"Produce only the {wanted} translation, without any additional explanations or commentary.{use} Please "
        f"translate the following {spoken} text into {wanted}:\n\n\n"
        f"{text.strip()}{END_OF_TURN}\n<start_of_turn>model\n"
    )


def prompt_example(
    text: str, translation: str, source: str = "en", target: str = "es", hints: Sequence[tuple[str, str]] = ()
) -> PromptExample:
    """Render a training example in two parts, split where the loss begins; together they are the whole conversation.

    Raises `ValueError` as `render_prompt` does, for the translation too.
    """
    if not translation.strip():
        raise ValueError(f"the translation of {text!r} is empty")
    _refuse_control(translation)
    return PromptExample(render_prompt(text, source, target, hints), f"{translation.strip()}{END_OF_TURN}\n")


def _refuse_control(*texts: str) -> None:
    for text in texts:
        for token in _CONTROL:
            if token in text:
                raise ValueError(f"{text!r} holds the control token {token}: remove it")
