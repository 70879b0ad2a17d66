"""The audit: one loop over (target, attacks, secrets) that writes a record."""
