"""`TARGET=aws`: state, plan, apply, removal, and a look at what is left."""
