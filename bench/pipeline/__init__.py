"""`make bench`: the pipeline beside ministack's own rule path, and what the handler costs."""
