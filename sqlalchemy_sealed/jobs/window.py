"""A window of time: the hours of a day in which a job may work."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass

from sqlalchemy_sealed.errors import ConfigurationError

__all__ = ["Window"]

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class Window:
    """Hours of the day, by the wall clock of a time zone.

    Attributes:
        opens: when work begins.
        closes: when it ends; earlier than ``opens`` is on the next day.
        zone: the time zone.

    """

    opens: dt.time
    closes: dt.time
    zone: dt.tzinfo

    @classmethod
    def parse(cls, text: str, zone: str = "UTC") -> Window:
        """Read ``22:00-06:00``.

        Raises:
            ConfigurationError: it is of another form, or the zone is unknown.

        """
        found = _FORM.fullmatch(text)
        if found is None or found[1] + found[2] == found[3] + found[4]:
            raise ConfigurationError(
                f"{text!r} is no window of time; write for example 22:00-06:00"
            )
        opens, minute, closes, until = (int(part) for part in found.groups())
        try:
            where = zoneinfo.ZoneInfo(zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise ConfigurationError(
                f"the time zone {zone!r} is not known here; write for example UTC or "
                "Europe/Berlin (on Windows: pip install tzdata)"
            ) from None
        return cls(dt.time(opens, minute), dt.time(closes, until), where)

    def is_open(self, now: dt.datetime | None = None) -> bool:
        """Tell whether work is allowed, now or at an aware moment."""
        moment = (now or dt.datetime.now(dt.UTC)).astimezone(self.zone).time()
        if self.opens < self.closes:
            return self.opens <= moment < self.closes
        return moment >= self.opens or moment < self.closes

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M} {self.zone}"
