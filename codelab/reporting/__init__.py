"""Results as tables, verdicts, figures and HTML."""
