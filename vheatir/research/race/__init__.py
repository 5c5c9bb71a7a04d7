"""Comparing networks that differ in one thing: the same data, the same time, several seeds; and what each costs."""
