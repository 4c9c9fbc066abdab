"""Batched MuJoCo, the Gymnasium environments on it, and pictures of it."""
