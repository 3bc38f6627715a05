"""The scorecard: codes beside their controls, each cell with its interval, as a table to print."""
