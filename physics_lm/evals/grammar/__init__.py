"""What a model has learnt of a grammar: its samples, states and attention."""
