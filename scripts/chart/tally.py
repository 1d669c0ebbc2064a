"""How many checks passed, and which failed."""

import sys
import traceback


class Tally:
    """How many checks passed, and which failed."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, problems):
        """One check: `problems` is what is wrong, or a function that finds it."""
        try:
            found = list(problems() if callable(problems) else problems)
        except Exception:
            found = [traceback.format_exc()]
        if not found:
            self.passed += 1
            return
        self.failed += 1
        print(f"FAILED: {what}")
        for problem in dict.fromkeys(found):
            print("    " + str(problem).strip().replace("\n", "\n    "))
        sys.stdout.flush()
