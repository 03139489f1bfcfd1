"""Length hiding: how many bytes a plaintext is padded to (docs/FORMAT.md, rule 6).

Every option writes ISO/IEC 7816-4 padding, 0x80 and then zeros, so one function takes
it off again whatever the option was. Padding is removed after authentication only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy_sealed.errors import DeclarationError

__all__ = ["Blocks", "Bucket", "Padding", "Padme", "unpad"]

_MARK: Final = b"\x80"


class Padding(Protocol):
    """A rule that gives the padded length, in bytes, of a plaintext."""

    def padded_length(self, length: int) -> int:
        """Return a length greater than ``length``."""
        ...

    def pad(self, data: bytes) -> bytes:
        """Return ``data``, 0x80, and zeros up to the padded length."""
        ...


@dataclass(frozen=True)
class Bucket:
    """Pad to a multiple of ``size`` bytes (1 to 65,536)."""

    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 1 << 16:
            raise DeclarationError(f"Bucket({self.size}): use 1 to 65536 bytes")

    def padded_length(self, length: int) -> int:
        """Return the next multiple of the size above ``length``."""
        return length + self.size - length % self.size

    def pad(self, data: bytes) -> bytes:
        """Return ``data`` padded to a multiple of the size."""
        return (data + _MARK).ljust(self.padded_length(len(data)), b"\0")


@dataclass(frozen=True)
class Blocks(Bucket):
    """Pad to 16-byte blocks, the default for text; the leak is ``length // 16``."""

    size: int = 16

    def __post_init__(self) -> None:
        if self.size != 16:  # noqa: PLR2004 - the block of the format
            raise DeclarationError("Blocks() are 16 bytes; use Bucket(n) for others")


@dataclass(frozen=True)
class Padme:
    """Pad so that at most O(log log n) bits of the length leak, at most 12 % longer.

    Source: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
    Communication with PURBs", 2019, algorithm 1. Hides almost nothing below 32 bytes.
    """

    def padded_length(self, length: int) -> int:
        """Return the PADME length of the data and its 0x80 mark."""
        target = length + 1
        exponent = target.bit_length() - 1
        loose_bits = max(0, exponent - exponent.bit_length())
        mask = (1 << loose_bits) - 1
        return (target + mask) & ~mask

    def pad(self, data: bytes) -> bytes:
        """Return ``data`` padded to its PADME length."""
        return (data + _MARK).ljust(self.padded_length(len(data)), b"\0")


def unpad(padded: bytes) -> bytes:
    """Take ISO/IEC 7816-4 padding off.

    Raises:
        ValueError: there is no 0x80 in front of the trailing zeros.

    """
    stripped = padded.rstrip(b"\0")
    if stripped[-1:] != _MARK:
        raise ValueError("not ISO 7816-4 padded")
    return stripped[:-1]
