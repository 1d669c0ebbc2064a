"""Where things are."""

import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "matrixbot"
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
