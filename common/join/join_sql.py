"""The SQL of the preset's join, built from quoted identifiers."""

from __future__ import annotations

from pycytominer_transform.common.join.relations import JoinPlan, Partner
from pycytominer_transform.common.model.naming import DATASET, IMAGE_NUMBER, TABLE_NUMBER, WHOLE_NUMBER, quoted

ROW = "pct_row"


def join_query(plan: JoinPlan) -> str:
    """Return the query that finds which rows of the tables belong together.

    Its result has one row per object of the anchor, and per table a column with the number of its row (from 0), null
    where the object has no partner there. The values are gathered by these numbers afterwards: joining some thousand
    columns costs four times as much.
    """
    anchor = quoted(plan.anchor)
    picked = ", ".join(f"{quoted(table)}.{ROW} AS {quoted(table)}" for table in plan.joined)
    lines = [f"SELECT {picked}", f"FROM {anchor}"]
    lines += [f"LEFT JOIN {quoted(partner.table)} ON {_condition(partner)}" for partner in plan.partners]
    order = [term for name in plan.order for term in _order_terms(f"{anchor}.{quoted(name)}", name)]
    lines.append(f"ORDER BY {', '.join([*order, f'{anchor}.{ROW}'])}")
    return "\n".join(lines)


def parents_query(child: Partner) -> str:
    """Return the query that finds the parent's row for each row of a child table, in the children's order."""
    table, via = quoted(child.table), quoted(child.via)
    return f"SELECT {via}.{ROW}\nFROM {table}\nLEFT JOIN {via} ON {_condition(child)}\nORDER BY {table}.{ROW}"


def siblings_query(child: Partner) -> str:
    """Return the query that finds the first parent with several children, and how many it has."""
    via = quoted(child.via)
    keys = ", ".join(f"{via}.{quoted(key)}" for key in (*child.scope, child.via_number))
    return (
        f"SELECT {keys}, count(*)\nFROM {via}\nJOIN {quoted(child.table)} ON {_condition(child)}\nGROUP BY {keys}\n"
        f"HAVING count(*) > 1\nORDER BY {keys}\nLIMIT 1"
    )


def queries(plan: JoinPlan) -> list[str]:
    """Return the queries that find which rows belong together, in the order they are run."""
    children = [parents_query(each.partner) for each in plan.children]
    return [*(siblings_query(partner) for partner in plan.partners if partner.is_child), join_query(plan), *children]


def _condition(partner: Partner) -> str:
    left, right = quoted(partner.table), quoted(partner.via)
    terms = []
    for name in partner.scope:
        # A table number, or one of several keys, may be null for a whole dataset; an image number that is null is none.
        equal = "=" if name in (DATASET, IMAGE_NUMBER) else "IS NOT DISTINCT FROM"
        terms.append(f"{left}.{quoted(name)} {equal} {right}.{quoted(name)}")
    if partner.own_number:
        terms.append(f"{left}.{quoted(partner.own_number)} = {right}.{quoted(partner.via_number)}")
        # CellProfiler numbers objects from 1, and writes 0 for no parent. Of the partner's number, which equals the
        # other, DuckDB asks it before it joins.
        terms.append(f"{left}.{quoted(partner.own_number)} <> 0")
    return " AND ".join(terms)


def _order_terms(column: str, name: str) -> list[str]:
    if name != TABLE_NUMBER:
        return [f"{column} NULLS FIRST"]
    whole = f"regexp_full_match({column}::VARCHAR, '{WHOLE_NUMBER}')"
    number = f"CASE WHEN {whole} THEN {column}::BIGINT END"
    return [f"({column} IS NOT NULL)", f"{number} NULLS LAST", column]
