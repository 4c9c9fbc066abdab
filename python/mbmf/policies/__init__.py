"""Gaussian policies: the network, batches of its episodes, and its files."""
