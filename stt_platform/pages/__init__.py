"""The page on which a person listens to a sermon: sound, spectrogram, chunks and words together."""
