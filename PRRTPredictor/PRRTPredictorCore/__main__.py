"""``python -m PRRTPredictorCore``: the same as ``prrt``."""

import sys

from .cli import main

sys.exit(main())
