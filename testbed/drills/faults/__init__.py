"""Break a local deployment under load, by a seed, and audit what is left."""
