"""The console's own widgets: lists and pages of any length, the bar with the mode, the line of keys."""
