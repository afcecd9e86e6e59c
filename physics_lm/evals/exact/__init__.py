"""Evaluations against the exact law of a world."""
