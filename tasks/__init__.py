"""Nornir tasks: thin, and the only code that knows both Nornir and the library."""
