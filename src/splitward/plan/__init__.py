"""Where to cut: latency, energy, memory, money and measured leakage together. Pure functions; free of torch."""
