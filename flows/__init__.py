"""One flow per file: in which order things happen. `python -m flows` lists them.

Keep out: classes, shared functions (Prefect loads a flow's file a second time), the driver, Great Expectations.
"""
