"""Tasks: the checked task file, what it becomes in the core, and paths to follow."""
