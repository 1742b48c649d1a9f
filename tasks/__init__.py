"""The rooms of the maintenance engine: each decides in pure modules and acts through `sql/`.

Keep out: names of anybody's tables. Those stand in `maintenance.yaml`, `sql/` and `expectations/`.
"""
