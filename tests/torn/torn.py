"""Strikes every scenario at every place, and prints what was torn."""

from __future__ import annotations

import argparse
import sys
import time

import explore
import scenarios_adapters  # noqa: F401
import scenarios_blocking  # noqa: F401
import scenarios_green  # noqa: F401
import scenarios_pollers  # noqa: F401
import scenarios_sockets  # noqa: F401
import scenarios_sync  # noqa: F401
import scenarios_tls  # noqa: F401
from world import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-v", "--verbose", action="store_true", help="stacks and tracebacks too")
    parser.add_argument("scenarios", nargs="*", help="names; none: all")
    options = parser.parse_args()
    places = torn = 0
    for name in options.scenarios or SCENARIOS:
        start = time.monotonic()
        report = explore.explore(name)
        places += len(report.places)
        torn += len(report.faults)
        seconds = time.monotonic() - start
        print(f"{name}: {len(report.places)} places, {len(report.faults)} torn, {seconds:.1f} s")
        for fault in report.faults:
            print("   ", fault)
            if options.verbose:
                print(fault.details)
        sys.stdout.flush()
    print(f"{places} places, {torn} torn")
    return 1 if torn else 0


if __name__ == "__main__":
    sys.exit(main())
