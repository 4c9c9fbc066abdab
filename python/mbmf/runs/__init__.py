"""Run directories: their layout, and what a run learned."""
