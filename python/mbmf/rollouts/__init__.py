"""Episodes, how they are collected, and how well they follow a path."""
