"""What plays AWS locally: one module an engine, all with the contract of `testbed.engines.base.Engine`."""
