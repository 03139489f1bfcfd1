"""Keys, keyrings, and where they are read from."""
