"""The zoo: networks of the paper and their trained weights, and the way in for a user's own model."""
