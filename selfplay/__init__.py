"""Games being played: actors, the replay store, the learner, the training run."""
