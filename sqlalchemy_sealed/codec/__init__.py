"""Python values as canonical bytes, and back: one class per codec of the format."""
