"""The learner: optimizers, growth, initial weights."""
