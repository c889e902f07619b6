"""`python3 -m model_hub` is the `model-hub` command."""

import sys

from model_hub.cli import main

sys.exit(main())
