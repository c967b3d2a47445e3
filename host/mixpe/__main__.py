# SPDX-License-Identifier: BSD-2-Clause
"""``python -m mixpe``"""

import sys

from mixpe.cli import main

if __name__ == "__main__":
    sys.exit(main())
