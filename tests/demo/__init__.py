"""The five legacy tables as production has them, filled and kept busy.

Belongs here: the legacy schema, its seeded generator, the writer process and its ledger.
Keep out: anything of the new table; flows, tasks and expectations never import this package.
"""
