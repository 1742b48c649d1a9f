"""Rules about rights, where Supabase's own lints do not look (A6, D8).

Belongs here: partitions and their parents, matviews and views, functions of their owner's rights, policies for everyone.
Keep out: plain tables without row-level security (Supabase's lint 0013 finds them), SQL. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tasks.health.facts import DefinerFacts, ExposedFacts, Facts, Finding, Level, PolicyFacts


def judge(fact: Facts) -> Iterator[Finding]:
    """Yield what is wrong with one fact about rights."""
    match fact:
        case ExposedFacts(kind="parent"):
            yield from _parent(fact)
        case ExposedFacts(kind="partition"):
            pass  # together with its siblings, in `judge_partitions`
        case ExposedFacts():
            yield from _view(fact)
        case DefinerFacts():
            text = (
                f"runs with the rights of {fact.owner} and the caller's search_path: a caller's own function may take its names"
            )
            yield Finding("warning", "definer-search-path", "security", fact.function, text, _fix_path(fact.function))
        case PolicyFacts():
            yield from _policy(fact)
        case _:
            pass


def _fix_path(function: str) -> str:
    """Return a path that its unqualified names survive: pg_catalog comes first unsaid, pg_temp last where it is said."""
    schema = re.match(r'("[^"]*")+|[^".]+', function)
    path = f"{schema[0] if schema else 'pg_catalog'}, pg_temp"
    return f"alter routine {function} set search_path = {path}; -- Add schemas it needs; '' is stricter once it qualifies every name."


def _parent(fact: ExposedFacts) -> Iterator[Finding]:
    reached = _reached(fact)
    if reached:
        text = f"is a partitioned table without row-level security, and {' and '.join(reached)} may use it directly"
        remedy = f"alter table {fact.relation} enable row level security;"
        yield Finding("critical", "unsecured-parent", "security", fact.relation, text, remedy)


def judge_partitions(facts: Iterable[ExposedFacts]) -> Iterator[Finding]:
    """Yield one finding for the partitions of one table that the same roles reach: they are many, and have one cause."""
    alike: dict[tuple[str | None, tuple[str, ...]], list[ExposedFacts]] = {}
    for fact in facts:
        reached = _reached(fact)
        if fact.kind == "partition" and (reached or fact.has_secured_parent):
            alike.setdefault((fact.parent, reached), []).append(fact)
    for (parent, reached), group in alike.items():
        yield _unsecured(parent or "", reached, [fact.relation for fact in group])


def _unsecured(parent: str, reached: tuple[str, ...], names: Sequence[str]) -> Finding:
    level: Level = "critical" if reached else "warning"
    them = "it" if len(names) == 1 else "them"
    why = (
        f"and {' and '.join(reached)} may use {them} directly"
        if reached
        else f"although the parent has: one grant opens {them}"
    )
    if len(names) == 1:
        text = f"is a partition of {parent} without row-level security, {why}"
        return Finding(level, "unsecured-partition", "security", names[0], text, _secure(names[0], reached))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    text = f"{len(names)} partitions have no row-level security, {why}: {', '.join(names[:NAMED])}{more}"
    return Finding(level, "unsecured-partition", "security", f"partitions of {parent}", text, _secure_all(parent, reached))


#: So many partitions are named in one finding.
NAMED = 3


def _secure(name: str, reached: Sequence[str]) -> str:
    revoke = f" revoke all on {name} from {', '.join(reached)};" if reached else ""
    return f"alter table {name} enable row level security;{revoke}"


def _secure_all(parent: str, reached: Sequence[str]) -> str:
    """Return one statement for every partition: a person runs it, so it has to fit into one paste."""
    revoke = f" execute format('revoke all on %s from {', '.join(reached)}', p);" if reached else ""
    return (
        f"do $$ declare p regclass; begin for p in select relid from pg_partition_tree('{parent}') where level > 0 loop "  # noqa: S608 (run by a person)
        f"execute format('alter table %s enable row level security', p);{revoke} end loop; end $$;"
    )


def _reached(fact: ExposedFacts) -> tuple[str, ...]:
    """Return who reaches it; service_role passes row-level security anyway."""
    return tuple(role for role in fact.roles if role != "service_role")


def _view(fact: ExposedFacts) -> Iterator[Finding]:
    if fact.is_compatibility_view:
        yield _compatibility_view(fact)
        return
    reached = _reached(fact)
    if not reached and (fact.kind == "view" or not fact.roles):
        return
    level: Level = "warning" if reached else "info"
    roles = reached or fact.roles
    remedy = f"revoke all on {fact.relation} from {', '.join(roles)};"
    if fact.kind == "matview":
        text = f"is a materialized view, which row-level security cannot guard, and {' and '.join(roles)} may read it"
    else:
        text = f"reads with its owner's rights around row-level security, and {' and '.join(roles)} may use it"
        remedy = f"alter view {fact.relation} set (security_invoker = true);"
    yield Finding(level, f"exposed-{fact.kind}", "security", fact.relation, text, remedy)


def _compatibility_view(fact: ExposedFacts) -> Finding:
    """Judge a view by its legacy table's grants; where nobody knows what those were, no statement is safe to copy."""
    text = "stands for a legacy table whose grants are not known: neither the table nor a note of its retirement is there"
    remedy = "Compare its grants with what its application needs, and revoke the others."
    if fact.rights:
        differences = [f"{right[1:]} is {'too much' if right.startswith('+') else 'missing'}" for right in fact.rights]
        text = f"stands for a legacy table, but its grants are not that table's: {', '.join(differences)}"
        remedy = _match_grants(fact)
    return Finding("warning", "exposed-view", "security", fact.relation, text, remedy)


def _match_grants(fact: ExposedFacts) -> str:
    """Return one statement for each role and direction; it takes and gives nothing but the difference."""
    rights: dict[tuple[bool, str], list[str]] = {}
    for right in fact.rights:
        role, _, privilege = right[1:].rpartition(" ")
        rights.setdefault((right.startswith("+"), role), []).append(privilege.lower())
    return " ".join(
        f"revoke {', '.join(names)} on {fact.relation} from {role};"
        if is_extra
        else f"grant {', '.join(names)} on {fact.relation} to {role};"
        for (is_extra, role), names in rights.items()
    )


def _policy(fact: PolicyFacts) -> Iterator[Finding]:
    level: Level = "critical" if fact.roles else "warning"
    reach = f", and {' and '.join(fact.roles)} have rights on it" if fact.roles else ""
    text = f"policy {fact.policy} names no role and is always true: it lets everyone {fact.command}{reach}"
    remedy = f"alter policy {fact.policy} on {fact.relation} to service_role;"
    yield Finding(level, "policy-for-everyone", "security", f"{fact.relation} {fact.policy}", text, remedy)
