"""What every room needs: declaration, settings, connections, SQL files, ledger, errors.

Keep out: rules of one room (partitions, migration, gates, upkeep, health).
"""
