"""A laboratory for the physics of language models."""
