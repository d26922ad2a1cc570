"""The loop with the people: which chunks they are asked about, what they answered, and how far a text can be trusted."""
