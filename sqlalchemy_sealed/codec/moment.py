"""Codecs of dates, times, moments and intervals."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from sqlalchemy_sealed.codec.base import BaseCodec, need
from sqlalchemy_sealed.errors import EncodingError

__all__ = [
    "DateCodec",
    "DatetimeCodec",
    "IntervalCodec",
    "TimeCodec",
]


_DAY_ZERO: Final = dt.date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class DateCodec(BaseCodec):
    """7: int32, days from 1970-01-01."""

    id = 7

    def encode(self, value: dt.date) -> bytes:
        """Return 4 bytes."""
        if isinstance(value, dt.datetime):
            raise EncodingError("expected a date, got a datetime: call .date() first")
        return (value.toordinal() - _DAY_ZERO).to_bytes(4, signed=True)

    def decode(self, data: bytes) -> dt.date:
        """Return the date."""
        need(len(data) == 4)
        ordinal = int.from_bytes(data, signed=True) + _DAY_ZERO
        need(1 <= ordinal <= _LAST_DAY)
        return dt.date.fromordinal(ordinal)


_LAST_DAY: Final = dt.date.max.toordinal()
_NAIVE_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose
_AWARE_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY_MICROSECONDS: Final = 86_400_000_000


def _microseconds(delta: dt.timedelta) -> int:
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


#: The years 1 to 9999, in microseconds from the epoch.
_FIRST: Final = _microseconds(dt.datetime.min - _NAIVE_EPOCH)  # noqa: DTZ901
_LAST: Final = _microseconds(dt.datetime.max - _NAIVE_EPOCH)  # noqa: DTZ901


@dataclass(frozen=True)
class DatetimeCodec(BaseCodec):
    """8: kind byte (0 naive, 1 aware), int64 microseconds from the epoch.

    Aware values are converted to UTC and come back in UTC.
    """

    id = 8
    aware: bool = False

    def encode(self, value: dt.datetime) -> bytes:
        """Return 9 bytes; refuses naive for aware, and the reverse."""
        if (value.utcoffset() is not None) is not self.aware:
            raise EncodingError(
                "a naive datetime where DateTime(timezone=True) is declared: "
                "attach a time zone, for example tzinfo=datetime.UTC"
                if self.aware
                else "an aware datetime where a naive one is declared: "
                "declare DateTime(timezone=True), or remove the time zone"
            )
        if self.aware:
            moment = _microseconds(value - _AWARE_EPOCH)
            if not _FIRST <= moment <= _LAST:
                raise EncodingError("outside the years 1 to 9999 in UTC")
            return b"\1" + moment.to_bytes(8, signed=True)
        delta = value.replace(tzinfo=None) - _NAIVE_EPOCH
        return b"\0" + _microseconds(delta).to_bytes(8, signed=True)

    def decode(self, data: bytes) -> dt.datetime:
        """Return the moment, naive or in UTC."""
        need(len(data) == 9 and data[0] == self.aware)
        moment = int.from_bytes(data[1:], signed=True)
        need(_FIRST <= moment <= _LAST)
        delta = dt.timedelta(microseconds=moment)
        return (_AWARE_EPOCH if self.aware else _NAIVE_EPOCH) + delta


@dataclass(frozen=True)
class TimeCodec(BaseCodec):
    """13: int64 microseconds from midnight; aware times are refused."""

    id = 13

    def encode(self, value: dt.time) -> bytes:
        """Return 8 bytes."""
        if not isinstance(value, dt.time):
            raise EncodingError("expected a time of day")
        if value.tzinfo is not None:
            raise EncodingError("a time with a time zone: store a datetime instead")
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return (seconds * 1_000_000 + value.microsecond).to_bytes(8, signed=True)

    def decode(self, data: bytes) -> dt.time:
        """Return the time of day."""
        need(len(data) == 8)
        total = int.from_bytes(data, signed=True)
        need(0 <= total < _DAY_MICROSECONDS)
        return (_NAIVE_EPOCH + dt.timedelta(microseconds=total)).time()


_SHORTEST: Final = _microseconds(dt.timedelta.min)
_LONGEST: Final = _microseconds(dt.timedelta.max)


@dataclass(frozen=True)
class IntervalCodec(BaseCodec):
    """14: microseconds, two's complement, 16 bytes."""

    id = 14

    def encode(self, value: dt.timedelta) -> bytes:
        """Return 16 bytes."""
        return _microseconds(value).to_bytes(16, signed=True)

    def decode(self, data: bytes) -> dt.timedelta:
        """Return the interval."""
        need(len(data) == 16)
        total = int.from_bytes(data, signed=True)
        need(_SHORTEST <= total <= _LONGEST)
        return dt.timedelta(microseconds=total)
