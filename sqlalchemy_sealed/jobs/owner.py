"""Who works: the name that a process writes beside what it has taken."""

from __future__ import annotations

import os
import socket
import uuid

__all__ = ["is_gone", "new_owner"]


def new_owner() -> str:
    """Return a name for a worker of this process: host, process and a random part."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"


def is_gone(owner: str | None) -> bool:
    """Tell whether a lease's owner was a process of this host that has ended.

    A wrong answer costs nothing but time: tokens fence off a worker that is alive.
    """
    host, _, rest = (owner or "").partition("/")
    pid = rest.partition("/")[0]
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
