"""Rules without a server: pure modules and parsers; the whole folder ends within seconds."""
