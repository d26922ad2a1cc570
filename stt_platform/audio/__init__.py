"""Sound as arrays: decoding, measuring, cutting, drawing."""

SAMPLE_RATE_HZ = 16_000
"""What Whisper and Silero work at, and every stage after `standard_audio`; time is counted in these samples."""
