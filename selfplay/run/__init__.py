"""A training run: its loop, folder, diagnosis, panel and telemetry."""
