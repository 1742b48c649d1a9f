"""Gates: evidence of one snapshot, judged by Great Expectations, kept as a verdict that the guarded step asks for (M8)."""
