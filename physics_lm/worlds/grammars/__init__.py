"""Exact probabilities of context-free grammars."""
