"""Residue: what is left of plaintext in a database after its columns were sealed."""
