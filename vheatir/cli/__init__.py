"""The command ``vheatir``: a file for each of its verbs."""
