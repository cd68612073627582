"""What a model does with recorded inputs: run, fingerprinted, run again and compared."""
