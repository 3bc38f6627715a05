"""From continuous features to codes, and the features' geometry."""
