"""What flows and what everything needs: codes, files, results, errors, checks, writing, progress, commands."""
