"""How the values of a column change: into another one, by its side, or in place."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

from alembic.util import CommandError

from sqlalchemy_sealed import EncryptedType

__all__ = ["Strategy", "check_strategy", "strategy_of"]

Strategy = Literal["expand-contract", "swap", "in-place"]
_ALL: Final[tuple[Strategy, ...]] = get_args(Strategy)


def strategy_of(
    strategy: Strategy | None, type_: EncryptedType[Any], into: str | None
) -> Strategy:
    """Return the strategy that was asked for, or the one that fits."""
    if strategy is not None:
        return strategy
    if into is not None:
        return "expand-contract"
    return "in-place" if type_.storage == "text" else "swap"


def check_strategy(
    place: str,
    strategy: str | None,
    type_: EncryptedType[Any],
    into: str | None,
    is_legacy: bool = False,
) -> None:
    """Refuse a strategy that does not fit the rest of the arguments.

    Args:
        place: the table and the column, for messages.
        strategy: that was asked for.
        type_: the declaration of the sealed column.
        into: the other column.
        is_legacy: whether the column holds what another library has written.

    Raises:
        CommandError: saying what to write instead.

    """
    if strategy is None:
        return
    if strategy not in _ALL:
        names = " or ".join(f'"{one}"' for one in _ALL)
        raise CommandError(f"{place}: strategy= is {names}")
    if strategy == "expand-contract" and into is None:
        raise CommandError(
            f'{place}: strategy="expand-contract" fills a second column; name it: '
            'into="..."'
        )
    if strategy != "expand-contract" and into is not None:
        raise CommandError(
            f'{place}: strategy="{strategy}" keeps the name of the column, and into= '
            "names another one; leave one of the two out"
        )
    if strategy == "in-place" and type_.storage != "text" and not is_legacy:
        raise CommandError(
            f"{place}: in place the column holds plaintext and envelopes in turn, so "
            'envelopes must be text: EncryptedType(..., storage="text"). For envelopes '
            'in bytes use strategy="swap", or name another column with into="..."'
        )
