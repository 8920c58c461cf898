"""Bring a deployment up, keep it, take it away."""
