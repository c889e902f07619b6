"""The run: on a cluster, or on this machine with a folder in the place of a master."""
