"""Games on disk and in memory, and the training batches drawn from them."""
