"""What codes and features are worth: neighbours, retrieval, probes, adaptation; `python -m training.evaluate`."""
