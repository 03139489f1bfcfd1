"""What becomes of values: one kind of move per module."""
