"""The stages of a sermon, in the order in which it passes them: importing this registers them all."""

from stt_platform.defs.sermons.assets.sound import (  # noqa: I001
    recording,
    standard_audio,
    sound_classes,
    separated_audio,
    enhanced_audio,
)
from stt_platform.defs.sermons.assets.chunks import speaker_turns, speech_chunks, training_chunks
from stt_platform.defs.sermons.assets.text import captions, transcript, consensus

__all__ = [
    "captions",
    "consensus",
    "enhanced_audio",
    "recording",
    "separated_audio",
    "sound_classes",
    "speaker_turns",
    "speech_chunks",
    "standard_audio",
    "training_chunks",
    "transcript",
]
