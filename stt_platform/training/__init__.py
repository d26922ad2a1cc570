"""What models learn from, and how."""
