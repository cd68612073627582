"""What of a live model would not survive a save, and the evidence for it: attributes, origins, first use, ties, saving code."""
