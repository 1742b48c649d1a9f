"""Processes killed on purpose: nothing left behind, the next run goes on."""
