"""The gates: what each refuses, and the words it uses."""

import pytest

from stt_platform.audio import gates
from stt_platform.audio.gates import GATES, first_refusal

NAN = float("nan")


@pytest.mark.parametrize(
    ("verdict", "gate", "reason"),
    [
        (gates.too_short(1.0, 1.0), None, None),
        (gates.too_long(3600.0, 1.0), None, None),
        (gates.too_long(3600.1, 1.0), "duration", "too long: more than 1 h. Cut it, or raise gates.max_recording_h"),
        (gates.too_short(0.999, 1.0), "duration", "too short: 0.99 s, at least 1 s wanted"),
        (gates.speechless(1.0, 1.0), None, None),
        (gates.speechless(0.0, 1.0), "speech", "nobody speaks in it: 0.0 s of speech, at least 1 s wanted"),
        (gates.clipped(None, 0.01), None, None),
        (gates.clipped(0.01, 0.01), None, None),
        (gates.clipped(0.0101, 0.01), "clipping", "clipped: 1.1 % of the samples are cut off, at most 1 % allowed"),
        (gates.clipped(0.0312, 0.01), "clipping", "clipped: 3.2 % of the samples are cut off, at most 1 % allowed"),
        (gates.noisy(None, 10.0), None, None),
        (gates.noisy(10.0, 10.0), None, None),
        (gates.noisy(7.0, 5.0), None, None),
        (gates.noisy(9.99, 10.0), "noise", "noisy: 9.9 dB speech over noise, at least 10 dB wanted"),
        (gates.noisy(-3.21, 15.0), "noise", "noisy: -3.3 dB speech over noise, at least 15 dB wanted"),
        (gates.noisy(NAN, 10.0), "noise", "noisy: unknown dB speech over noise, at least 10 dB wanted"),
        (gates.noisy(25.0, 30.5), "noise", "noisy: 25.0 dB speech over noise, at least 30.5 dB wanted"),
        (gates.muffled(3_000.0, 3_000.0), None, None),
        (gates.muffled(2_500.0, 3_000.0), "bandwidth", "muffled: the sound ends at 2.50 kHz, at least 3 kHz wanted"),
        (gates.mostly_silent(0.5, 0.5), None, None),
        (gates.mostly_silent(0.501, 0.5), "silence", "mostly silent: 51 % of it is not speech, at most 50 % allowed"),
        (
            gates.mostly_silent(NAN, 0.5),
            "silence",
            "mostly silent: unknown % of it is not speech, at most 50 % allowed",
        ),
    ],
)
def test_a_value_against_its_limit(verdict, gate, reason):
    assert (verdict and verdict.gate, verdict and verdict.reason) == (gate, reason)
    assert gate is None or gate in GATES


def test_the_first_of_several_refusals_is_told():
    both = (gates.clipped(0.5, 0.01), gates.noisy(0.0, 15.0))
    assert first_refusal(gates.too_short(2.0, 1.0), *both).gate == "clipping"
    assert first_refusal(gates.too_short(2.0, 1.0), None) is None
