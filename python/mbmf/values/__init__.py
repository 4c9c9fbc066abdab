"""What a state is worth after a plan's end: returns, the network that learns them, its file."""
