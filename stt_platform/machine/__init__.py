"""The machine underneath: files, processes, the device, numbers that repeat. Knows nothing of what is above it."""
