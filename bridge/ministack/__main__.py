"""Start ministack 1.5.33 with what it does otherwise than AWS mended, a module for each difference.

The Python of ministack's own environment runs this folder in place of ministack's command. So nothing here imports the
bridge, and the modules find each other by their bare names.
"""

import asynchronous
import batches
import credentials
import data_plane
import decisions
import deliveries
import loggers
import queues
import registry
import resources
import rules
import server
import statements
import streams
import tables
import tags

queues.patch()
batches.patch()
streams.patch()
tags.patch()
asynchronous.patch()
deliveries.patch()
loggers.patch()
data_plane.patch()
rules.patch()
registry.patch()
credentials.patch()
decisions.patch()
resources.patch()
tables.patch()
statements.patch()
server.main()
