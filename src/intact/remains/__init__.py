"""What is left of a damaged checkpoint: which tensors are provably whole, which are doubtful, and which are lost."""
