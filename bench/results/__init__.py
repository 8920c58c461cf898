"""What the benchmarks found: JSON of one form, the tables and plots that the documentation makes of it."""
