"""What no attacker can beat: Fisher information, an attacker with a list of candidates, differential privacy."""
