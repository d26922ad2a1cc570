"""The stages of a sermon: what each makes, and what it makes it from."""
