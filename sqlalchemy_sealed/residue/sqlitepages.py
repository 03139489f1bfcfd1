"""The pages of an SQLite database: the bytes in them that belong to no row any more.

SQLite marks the place of what is deleted as free and leaves the bytes, unless
``secure_delete`` is on: in free blocks and gaps of the pages of a table, at the end of
overflow pages, on pages of the free list. File format: https://sqlite.org/fileformat2.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy_sealed.residue.shape import MARKS

__all__ = ["SqlitePages"]

_HEADER: Final = 100
_INTERIOR: Final = 5
_LEAF: Final = 13
#: Of a free block that SQLite itself uses.
_LINK: Final = 4
#: Fewer bytes tell nothing.
_FEWEST: Final = 4


class SqlitePages:
    """The pages of a database, as ``sqlite3.Connection.serialize()`` gives them."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        size = int.from_bytes(data[16:18])
        self._size = 65536 if size == 1 else size
        self._usable = self._size - data[20]
        self._count = len(data) // self._size if self._size else 0

    def remains(self, root: int) -> int:
        """Return how many pages of a table hold bytes of former rows.

        What begins like an envelope is ciphertext, and not counted.

        Args:
            root: number of the first page of a table with row ids.

        """
        return sum(
            any(_is_remains(part) for part in self._free(page))
            for page in self._leaves(root)
        )

    def free_pages(self) -> int:
        """Return how many pages of the free list still hold bytes."""
        return sum(_is_remains(part) for part in self._free_list())

    # -- pages -------------------------------------------------------------------

    def _page(self, number: int) -> memoryview:
        if not 0 < number <= self._count:
            return self._data[:0]
        return self._data[(number - 1) * self._size : number * self._size]

    def _at(self, page: memoryview, offset: int, width: int = 2) -> int:
        return int.from_bytes(page[offset : offset + width])

    def _leaves(self, root: int) -> Iterator[int]:
        todo, seen = [root], set[int]()
        while todo:
            number = todo.pop()
            page = self._page(number)
            if number in seen or not page:
                continue
            seen.add(number)
            start = _HEADER if number == 1 else 0
            if page[start] == _LEAF:
                yield number
            elif page[start] == _INTERIOR:
                cells = (start + 12 + 2 * n for n in range(self._at(page, start + 3)))
                todo += [self._at(page, self._at(page, cell), 4) for cell in cells]
                todo.append(self._at(page, start + 8, 4))

    def _free(self, number: int) -> Iterator[memoryview]:
        page = self._page(number)
        start = _HEADER if number == 1 else 0
        pointers = start + 8 + 2 * self._at(page, start + 3)
        yield page[pointers : self._at(page, start + 5) or 65536]
        block = self._at(page, start + 1)
        while block:
            yield page[block + _LINK : block + self._at(page, block + 2)]
            following = self._at(page, block)
            block = following if following > block else 0
        for n in range(self._at(page, start + 3)):
            yield self._slack(page, self._at(page, start + 8 + 2 * n))

    def _slack(self, page: memoryview, cell: int) -> memoryview:
        """Return the end of the last overflow page of a cell."""
        payload, at = _varint(page, cell)
        _, at = _varint(page, at)
        most = self._usable - 35
        if payload <= most:
            return page[:0]
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (payload - least) % (self._usable - 4)
        local = local if local <= most else least
        left, following = payload - local, self._at(page, at + local, 4)
        for _ in range(self._count):
            overflow = self._page(following)
            if left <= self._usable - 4 or not overflow:
                return overflow[4 + left : self._usable]
            left -= self._usable - 4
            following = self._at(overflow, 0, 4)
        return page[:0]

    def _free_list(self) -> Iterator[memoryview]:
        trunk = self._at(self._data, 32, 4)
        for _ in range(self._count):
            page = self._page(trunk)
            if not page:
                return
            count = min(self._at(page, 4, 4), self._usable // 4 - 2)
            yield page[8 + 4 * count :]
            for n in range(count):
                yield self._page(self._at(page, 8 + 4 * n, 4))
            trunk = self._at(page, 0, 4)


def _varint(page: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for n, byte in enumerate(page[at : at + 9]):
        if n == 8:  # noqa: PLR2004 - the ninth byte counts whole
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004
            return value, at + n + 1
    return value, at


def _is_remains(part: memoryview) -> bool:
    found = bytes(part)
    if len(found) - found.count(0) < _FEWEST:
        return False
    return not any(mark in found for mark in MARKS)
