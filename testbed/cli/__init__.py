"""The testbed's commands, a module for each kind; `make` calls them."""
