"""Subkeys: HKDF-Expand with SHA-256 (RFC 5869)."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

__all__ = ["expand"]


def expand(root: bytes, info: bytes, length: int) -> bytes:
    """Return HKDF-Expand-SHA256 (RFC 5869, section 2.3) of ``length`` bytes."""
    return HKDFExpand(SHA256(), length, info).derive(root)
