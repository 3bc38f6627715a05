"""What measures share: counts that add, estimators, nulls, intervals, splits."""
