"""``BlindIndex``: what may be found again, and what that tells a reader of the table.

An index term is the first bits of HMAC-SHA256 of the normalised value, under a key of
the index alone. Equal values have equal terms: a full term shows which rows are equal,
a truncated one only that they may be. See docs/BLIND_INDEXES.md for what follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy_sealed.errors import DeclarationError
from sqlalchemy_sealed.normalize import NORMALIZERS, Normalizer, normalizer_of

__all__ = ["FULL_BITS", "BlindIndex", "IndexPlan", "plan_index"]

#: A full term: two different values share one with probability 2^-64 in 2^32 rows.
FULL_BITS: Final = 128
_MOST_TRUNCATED: Final = 32
_FEWEST_VALUES: Final = 16
_VERSIONS: Final = range(1, 1 << 32)


@dataclass(frozen=True)
class BlindIndex:
    """A column of index terms beside a sealed one.

    Args:
        bits: length of a term: 128, so that equal terms mean equal values, or 1 to 32,
            which leaks less and finds other rows too.
        normalize: what counts as equal: ``"lower"``, ``"casefold"``, ``"email"``,
            ``"digits"``, ``"last4"``, or a :class:`Normalizer`; by default the value
            as it is.
        unique: whether equal values are refused; needs 128 bits.
        population: how many different values are expected. Truncated bits are checked
            against it; fewer than 16 need ``accept_leakage``.
        accept_leakage: why it is acceptable that equality shows, for a column of few
            values, whose frequencies give them away.
        name: name of the index; part of the key, so it does not change.
        column: name of the column, by default ``<attribute>_bidx``, and
            ``<attribute>_bidx_v<version>`` for later versions of the index key.
        version: version of the index key; terms of this one are searched and checked.
        second_version: another version, whose terms are written to a second column:
            the way from one index key to the next.

    Raises:
        DeclarationError: options exclude each other, or leak more than was accepted.

    """

    bits: int = FULL_BITS
    normalize: str | Normalizer | None = None
    unique: bool = False
    population: int | None = None
    accept_leakage: str | None = None
    name: str = "bidx"
    column: str | None = None
    version: int = 1
    second_version: int | None = None
    normalizer: Normalizer | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalizer", normalizer_of(self.normalize))
        if self.bits != FULL_BITS and not 1 <= self.bits <= _MOST_TRUNCATED:
            raise DeclarationError(
                f"bits={self.bits}: a full index has {FULL_BITS} bits, a truncated one "
                f"1 to {_MOST_TRUNCATED}"
            )
        if self.unique and self.is_truncated:
            raise DeclarationError(
                f"unique=True needs bits={FULL_BITS}: different values may share a "
                "truncated term, and one of them would be refused"
            )
        if not self.name:
            raise DeclarationError("name= is empty")
        if self.version not in _VERSIONS or (
            self.second_version is not None
            and (
                self.second_version not in _VERSIONS
                or self.second_version == self.version
            )
        ):
            raise DeclarationError(
                "version= and second_version= are two different index key versions"
            )
        if self.population is not None:
            self._check_population(self.population)

    def _check_population(self, population: int) -> None:
        if population < _FEWEST_VALUES:
            self.check_few("a population", f"of {population}")
        elif self.is_truncated:
            plan = plan_index(population)
            if not plan.fewest <= self.bits <= plan.most:
                raise DeclarationError(
                    f"bits={self.bits} does not suit a population of {population}: "
                    f"{plan.fewest} to {plan.most} do, {plan.bits} is in the middle "
                    "(plan_index)"
                )

    def check_few(self, what: str, why: str = "") -> None:
        """Refuse to index a few values without a waiver."""
        if not self.accept_leakage:
            raise DeclarationError(
                f"a blind index on {what} {why}".rstrip() + " has so few values that "
                "counting rows reveals them; leave the index out, or state why it is "
                'acceptable: BlindIndex(..., accept_leakage="...")'
            )

    @property
    def is_truncated(self) -> bool:
        """Whether different values may share a term."""
        return self.bits != FULL_BITS

    @property
    def is_builtin(self) -> bool:
        """Whether every value has a term, as with the normalisers of the library."""
        return self.normalizer in NORMALIZERS.values()

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that have a column, the one that is searched first."""
        second = self.second_version
        return (self.version,) if second is None else (self.version, second)

    def column_name(self, attribute: str, version: int) -> str:
        """Return the name of the column with the terms of one version."""
        first = self.column or f"{attribute}_bidx"
        return first if version == 1 else f"{first}_v{version}"


@dataclass(frozen=True)
class IndexPlan:
    """How many bits suit a population.

    Attributes:
        fewest: with fewer bits, a search reads more rows than it should.
        most: with more bits, terms give too much away.
        bits: in the middle.
        shared: how many different values share a term on average, with ``bits``.

    """

    fewest: int
    most: int
    bits: int
    shared: float


def plan_index(population: int, other_bits: int = 0) -> IndexPlan:
    """Propose the length of truncated terms.

    A term shall be shared by 2 values at least, and by no more than the square root of
    the population: the rule of CipherSweet's planner and of the beacons of the AWS
    Database Encryption SDK. What counts is the sum of the bits of all indexes of a row.

    Args:
        population: number of different values, 16 or more.
        other_bits: bits of the other indexes that depend on the same value.

    Raises:
        DeclarationError: no length suits.

    """
    if population < _FEWEST_VALUES:
        raise DeclarationError(
            f"{population} different values are too few for a blind index: counting "
            "rows reveals them"
        )
    most = math.floor(math.log2(population / 2)) - other_bits
    fewest = min(math.ceil(math.log2(population) / 2), _MOST_TRUNCATED)
    most = min(most, _MOST_TRUNCATED)
    if most < 1:
        raise DeclarationError(
            f"the other indexes of the value have {other_bits} bits, and "
            f"{population} values leave no room for one more"
        )
    fewest = min(fewest, most)
    bits = (fewest + most) // 2
    return IndexPlan(fewest, most, bits, population / 2**bits)
