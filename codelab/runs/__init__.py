"""A training run's folder, read without torch."""
