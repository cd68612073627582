"""How a model was made: the arguments of its constructor, recorded or found, proved by building it again, and the building."""
