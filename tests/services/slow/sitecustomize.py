"""Makes workers slow: Python runs this first where its folder is on the path.

So a drill can hit the middle of a step of the real command: a step pauses whenever it reports how
far it is, for as many seconds as the file that `DRILL_PAUSE` names says, also meanwhile.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


class _SlowSteps(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "scopebook_workers.claims":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_slow(module: Any) -> None:
            load(module)
            _slow_down(module)

        loader.exec_module = load_slow
        return spec


def _slow_down(claims: Any) -> None:
    report = claims.Progress.__call__
    pause = Path(os.environ["DRILL_PAUSE"])

    def pause_and_report(progress: Any, done: int, total: int, unit: str) -> None:
        begun = time.monotonic()
        while time.monotonic() - begun < float(pause.read_text()):
            time.sleep(0.05)
        report(progress, done, total, unit)

    claims.Progress.__call__ = pause_and_report


sys.meta_path.insert(0, _SlowSteps())
