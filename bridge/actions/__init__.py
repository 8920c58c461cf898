"""What a rule can do with a message: one module an action, registered in `bridge.actions.catalogue`."""
