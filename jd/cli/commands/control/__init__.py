"""The commands of "Control": how many workers there are, and how they end."""
