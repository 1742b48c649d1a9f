"""What the demo's process needs in its environment before Prefect is imported; importing this module sets it.

Keep out: anything that a user's own worker would need too.
"""

from __future__ import annotations

import os
import warnings

ENVIRONMENT = {
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "MAINTENANCE_ALLOW_FUTURE": "1",
}
os.environ.update(ENVIRONMENT)
warnings.simplefilter("ignore")
