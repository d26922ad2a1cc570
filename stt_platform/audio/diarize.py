"""Diarization: two engines that find speaker turns, and what follows from turns."""

from stt_platform.audio.diarize_packaged import diarize_packaged
from stt_platform.audio.diarize_pyannote import PipelineUnavailable, diarize_pyannote
from stt_platform.audio.turns import Turn, name_by_speech_time, primary_speaker, speaker_borders, speaker_of

__all__ = [
    "PipelineUnavailable",
    "Turn",
    "diarize_packaged",
    "diarize_pyannote",
    "name_by_speech_time",
    "primary_speaker",
    "speaker_borders",
    "speaker_of",
]
