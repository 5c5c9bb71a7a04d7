"""Measured tables in Markdown pages: put there between marks, and checked."""
