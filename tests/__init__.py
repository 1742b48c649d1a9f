"""The project's tests, and the demo they share with `make demo`."""
