"""Cheap tests that keep the whole honest: what is written in two places says the same."""
