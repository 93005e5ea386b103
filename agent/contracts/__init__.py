"""What players are asked and answer, how they are named in text, and their clocks."""
