"""The operating system: files, signals, processes, progress lines."""
