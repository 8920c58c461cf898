"""Proofs that nothing was lost: audit, trace, redrive."""
