"""The pipeline beside ministack's own rule path, how everything grows, and what the handler costs."""
