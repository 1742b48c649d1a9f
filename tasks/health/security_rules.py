"""Rules about rights, where Supabase's own lints do not look (A6, D8).

Belongs here: partitions and their parents, matviews and views, functions of their owner's rights, policies for everyone.
Keep out: plain tables without row-level security (Supabase's lint 0013 finds them), SQL. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.health.facts import DefinerFacts, ExposedFacts, Facts, Finding, Level, PolicyFacts


def judge(fact: Facts) -> Iterator[Finding]:
    """Yield what is wrong with one fact about rights."""
    match fact:
        case ExposedFacts(kind="partition" | "parent"):
            yield from _unsecured(fact)
        case ExposedFacts():
            yield from _view(fact)
        case DefinerFacts():
            text = (
                f"runs with the rights of {fact.owner} and the caller's search_path: a caller's own function may take its names"
            )
            remedy = f"alter routine {fact.function} set search_path = '';"
            yield Finding("warning", "definer-search-path", "security", fact.function, text, remedy)
        case PolicyFacts():
            yield from _policy(fact)
        case _:
            pass


def _unsecured(fact: ExposedFacts) -> Iterator[Finding]:
    reached = [role for role in fact.roles if role != "service_role"]
    remedy = f"alter table {fact.relation} enable row level security;"
    if reached:
        remedy += f" revoke all on {fact.relation} from {', '.join(reached)};" if fact.kind == "partition" else ""
        text = f"is a {_KINDS[fact.kind]} without row-level security, and {' and '.join(reached)} may use it directly"
        yield Finding("critical", f"unsecured-{fact.kind}", "security", fact.relation, text, remedy)
    elif fact.has_secured_parent:
        text = "has no row-level security although its parent has: one grant opens it"
        yield Finding("warning", "unsecured-partition", "security", fact.relation, text, remedy)


_KINDS = {"partition": "partition", "parent": "partitioned table"}


def _view(fact: ExposedFacts) -> Iterator[Finding]:
    reached = [role for role in fact.roles if role != "service_role"]
    if not reached and (fact.kind == "view" or not fact.roles):
        return
    level: Level = "warning" if reached else "info"
    roles = reached or list(fact.roles)
    remedy = f"revoke all on {fact.relation} from {', '.join(roles)};"
    if fact.kind == "matview":
        text = f"is a materialized view, which row-level security cannot guard, and {' and '.join(roles)} may read it"
    elif fact.is_compatibility_view:
        text = f"stands for a legacy table, but its grants are not that table's; {' and '.join(roles)} may use it"
    else:
        text = f"reads with its owner's rights around row-level security, and {' and '.join(roles)} may use it"
        remedy = f"alter view {fact.relation} set (security_invoker = true);"
    yield Finding(level, f"exposed-{fact.kind}", "security", fact.relation, text, remedy)


def _policy(fact: PolicyFacts) -> Iterator[Finding]:
    level: Level = "critical" if fact.roles else "warning"
    reach = f", and {' and '.join(fact.roles)} have rights on it" if fact.roles else ""
    text = f"policy {fact.policy} names no role and is always true: it lets everyone {fact.command}{reach}"
    remedy = f"alter policy {fact.policy} on {fact.relation} to service_role;"
    yield Finding(level, "policy-for-everyone", "security", f"{fact.relation} {fact.policy}", text, remedy)
