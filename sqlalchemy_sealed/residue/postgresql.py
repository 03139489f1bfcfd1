"""PostgreSQL: old row versions, dropped columns, samples, copies, and the server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, text

from sqlalchemy_sealed.residue.finding import Finding, Severity, by_hand, locking
from sqlalchemy_sealed.residue.pgrelations import PgRelation, relations_of, views_of
from sqlalchemy_sealed.residue.pgserver import beside_tables, statements_kept
from sqlalchemy_sealed.residue.pgstatistics import samples, samples_behind
from sqlalchemy_sealed.residue.sealing import Sealing, sealing_of
from sqlalchemy_sealed.targets import SealedTable

__all__ = ["look"]

#: Whatever keeps a rewrite from leaving dead rows behind: snapshots of this database,
#: writers of any.
_HOLDERS: Final = text("""
SELECT 'the session with pid ' || pid FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND (age(backend_xid) >= :age
OR age(backend_xmin) >= :age AND datname = current_database())
UNION ALL SELECT 'the replication slot ' || slot_name FROM pg_replication_slots
WHERE age(xmin) >= :age OR age(catalog_xmin) >= :age
UNION ALL SELECT 'the prepared transaction ' || gid FROM pg_prepared_xacts
WHERE database = current_database() AND age(transaction) >= :age
""")
_TRIGGERS: Final = text("""
SELECT DISTINCT tgname::text FROM pg_trigger WHERE tgrelid = ANY(:ids)
AND NOT tgisinternal AND tgname NOT LIKE 'sealed^_fence^_%' ESCAPE '^' ORDER BY 1
""")
_PUBLICATIONS: Final = text("""
SELECT DISTINCT p.pubname::text FROM pg_publication_tables p
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
WHERE c.oid = ANY(:ids) ORDER BY 1
""")


def look(connection: Connection, sealed: SealedTable) -> Iterator[Finding]:
    """Tell of the residue of a table."""
    relations = relations_of(connection, sealed.table)
    sealing = sealing_of(connection, sealed.name)
    sampled = list(samples(connection, sealed, relations, sealing))
    yield from sampled
    ages = [sealing.age] if sealing else []
    for relation in relations:
        if relation.kind == "r":
            yield from _rows(connection, relation, sealing)
            if sealing and relation.dropped_age is not None:
                ages.append(relation.dropped_age)
    if ages:
        fresh = any(one.found for one in sampled)
        yield from samples_behind(connection, relations, min(ages), fresh)
    if sealing:
        yield from _views(connection, sealed, relations, sealing)
        yield from beside_tables(connection, sealing)
    yield from _elsewhere(connection, sealed, relations)
    yield from statements_kept(connection, sealed.table.name)


def _rows(
    connection: Connection, relation: PgRelation, sealing: Sealing | None
) -> Iterator[Finding]:
    rewrite = locking(f"VACUUM (FULL, ANALYZE) {relation.name};")
    rewrite += by_hand(
        f"or without the lock: pg_repack --no-order --table={relation.name}"
    )
    severity = Severity.FOUND if sealing else Severity.POSSIBLE
    gone = relation.dropped_age
    if gone is not None and not relation.rewritten_since(gone):
        yield Finding(
            relation.name,
            "dropped columns",
            f"columns that were dropped: {relation.dropped}. The table was not "
            "rewritten since, and its rows still hold their values",
            severity,
            rewrite,
        )
    if sealing is None:
        if relation.dead:
            yield Finding(
                relation.name,
                "rows",
                f"~{relation.dead:,} dead rows, of which no job has recorded whether "
                "they are plaintext",
                Severity.POSSIBLE,
                rewrite,
            )
    elif not relation.rewritten_since(sealing.age):
        dead = f" (~{relation.dead:,} dead rows)" if relation.dead else ""
        held = connection.scalars(_HOLDERS, {"age": sealing.age}).all()
        first = f". First end what keeps them: {', '.join(held)}" if held else ""
        yield Finding(
            relation.name,
            "rows",
            "the table was not rewritten since its values were sealed: old row versions"
            f"{dead} lie in its pages, its TOAST table and its indexes, and stay there "
            f"after a plain VACUUM{first}",
            Severity.FOUND,
            rewrite,
        )


def _views(
    connection: Connection,
    sealed: SealedTable,
    relations: Sequence[PgRelation],
    sealing: Sealing,
) -> Iterator[Finding]:
    names = [column.name for column in sealed.columns]
    for view in views_of(connection, relations, names):
        if not view.refreshed_since(sealing.age):
            yield Finding(
                view.name,
                "view",
                f"this materialised view of {sealed.name} was not refreshed since the "
                "values were sealed",
                Severity.FOUND,
                locking(f"REFRESH MATERIALIZED VIEW {view.name};"),
            )


def _elsewhere(
    connection: Connection, sealed: SealedTable, relations: Sequence[PgRelation]
) -> Iterator[Finding]:
    ids = {"ids": [one.id for one in relations]}
    for kind, query, told in (
        ("trigger", _TRIGGERS, "what it has written elsewhere, an audit table perhaps"),
        ("publication", _PUBLICATIONS, "what its subscribers have stored"),
    ):
        for name in connection.scalars(query, ids):
            yield Finding(
                f"{sealed.name}, {kind} {name}",
                kind,
                f"{told}, is not looked at",
                Severity.UNSEEN,
            )
