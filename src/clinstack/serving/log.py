"""The log of a server: ids, kinds and figures alone, never a text of a caller's."""

import logging

LOG = logging.getLogger("clinstack.server")
