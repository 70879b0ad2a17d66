"""splitward: what does the cloud see, and what can it make of it?"""
