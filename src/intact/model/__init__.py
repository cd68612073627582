"""Everything that looks at live objects: what a model wants, what its own loading code does, and how it is built."""
