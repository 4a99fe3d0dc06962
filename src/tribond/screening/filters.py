"""Expressions over the columns of a table, evaluated row by row by DuckDB, which is given nothing else."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa

from tribond.errors import ConfigError
from tribond.results.schema import Column
from tribond.screening.packing import schema

LOCKED = {
    "enable_external_access": "false",  # no files, no network, no extensions
    "lock_configuration": "true",
    "threads": 1,
    "memory_limit": "1GB",
}


def check_filter(expression: str, columns: Sequence[Column], where: str) -> None:
    """Refuse what is no expression over these columns, or says something else of a row for what other rows there are.

    Args:
        expression: of SQL, as behind WHERE.
        columns: that there are.
        where: what messages call the place.

    Raises:
        ConfigError: says what is wrong with it.
    """
    import duckdb

    known = ", ".join(column.name for column in columns)
    with _connection() as database:
        try:
            statements = database.extract_statements(_query(expression, "1"))
            tree = json.loads(
                database.execute("select json_serialize_sql(?)", [_query(expression, "1")]).fetchall()[0][0]
            )
        except duckdb.Error as error:
            raise ConfigError(f"{where}: {expression!r} is no expression of SQL: {_first(error)}") from error
        if len(statements) != 1 or tree.get("error") or not _plain(tree["statements"][0]["node"]):
            raise ConfigError(f"{where}: {expression!r} must be one expression of SQL, as it stands behind WHERE")
        if _has(tree, "class", {"SUBQUERY"}):
            raise ConfigError(f"{where}: {expression!r} looks at other rows than its own; leave out `select`")
        unsteady = _has(tree, "function_name", _unsteady())
        if unsteady:
            raise ConfigError(f"{where}: {unsteady}() is not the same each time, and a screening must be; leave it out")
        database.register("rows", schema(columns, structures=False).empty_table())
        try:
            database.execute(_query(expression, "1"))
        except duckdb.Error as error:
            raise ConfigError(
                f"{where}: {expression!r} cannot be used here: {_first(error)}. The columns at this step: {known}"
            ) from error


def passing(expression: str, rows: pa.Table) -> set[int]:
    """The rows for which an expression is true; where a column that it needs is empty it is not.

    Args:
        expression: checked before.
        rows: a table with a column `row`, which numbers them.
    """
    with _connection() as database:
        database.register("rows", rows)
        return {int(it[0]) for it in database.execute(_query(expression, "row")).fetchall()}


def _plain(node: dict[str, Any]) -> bool:
    """Whether a query is nothing but rows with a condition."""
    others = ("modifiers", "group_expressions", "group_sets", "having", "qualify", "sample")
    return node["type"] == "SELECT_NODE" and not any(node.get(name) for name in others)


def _query(expression: str, what: str) -> str:
    return f"select {what} from rows where ({expression}\n)"  # noqa: S608, checked to be one expression; nothing is in reach


def _connection() -> Any:
    import duckdb

    return duckdb.connect(config=dict(LOCKED))


@lru_cache(maxsize=1)
def _unsteady() -> frozenset[str]:
    with _connection() as database:
        found = database.execute(
            "select distinct function_name from duckdb_functions() where stability != 'CONSISTENT'"
        )
        return frozenset(str(it[0]) for it in found.fetchall())


def _has(tree: Any, key: str, values: set[str] | frozenset[str]) -> str | None:
    """The first of some values that stands under a key anywhere."""
    if isinstance(tree, dict):
        if tree.get(key) in values:
            return str(tree[key])
        tree = list(tree.values())
    if isinstance(tree, list):
        return next((found for it in tree if (found := _has(it, key, values))), None)
    return None


def _first(error: Exception) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split())[:300]
