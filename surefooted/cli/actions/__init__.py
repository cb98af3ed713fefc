"""What the commands do, once their words are read: build cells, run them, and say what came of it."""
