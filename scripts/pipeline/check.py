#!/usr/bin/env python3
"""Tries the pipeline's scripts with stand-ins for Docker, the cluster and what is published to. The last line says how
many checks passed and how many failed.

check.py [--binary MATRIXBOT] [WORD]   only the checks that have WORD in their names
"""

import argparse
import sys
import time
import traceback

import integration
import releasing
import shipping


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="a matrixbot, for `matrixbot check`")
    parser.add_argument("word", nargs="?", default="")
    arguments = parser.parse_args()
    shipping.BINARY = arguments.binary
    passed = failed = 0
    for check in [*releasing.CHECKS, *integration.CHECKS, *shipping.CHECKS]:
        name = check.__name__.replace("_", " ")
        if arguments.word.replace("_", " ") not in name:
            continue
        started = time.monotonic()
        try:
            problems = list(check())
        except Exception:
            problems = [traceback.format_exc()]
        took = f"({time.monotonic() - started:.1f} s)"
        if problems:
            failed += 1
            print(f"FAILED: {name} {took}")
            for problem in problems:
                print("    " + str(problem).strip().replace("\n", "\n    "))
        else:
            passed += 1
            print(f"ok: {name} {took}")
        sys.stdout.flush()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
