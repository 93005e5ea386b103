"""Networks: their sizes, layers, files, and those that ship."""
