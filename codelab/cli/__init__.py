"""The `codelab` command: one file a group of commands."""
