"""Recordings from the web: list a channel, propose a sample, download it."""
