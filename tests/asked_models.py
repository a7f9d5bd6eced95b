"""A language model that was asked about features of a running instance, and one that judges."""

import json
import re
import subprocess
from dataclasses import dataclass
from typing import Any

from chat_server import Chats

_PASSAGES = re.compile(r"^<(\w+) passage \d+>\n(.*?)\n</\1 passage \d+>$", re.S | re.M)
_DESCRIPTION = re.compile(r"^<(\w+) description>\n(.*?)\n</\1 description>$", re.S | re.M)


@dataclass(frozen=True)
class Asked:
    """A stub model that is still there, the job that asked it, and a judge's that is under way."""

    chats: Chats
    job_id: int
    judging: subprocess.Popen[str]


def judge(user: str) -> str:
    """Say that a feature fires in the passages that hold the word its label names."""
    [(_, label)] = _DESCRIPTION.findall(user)
    word = label.split()[-1].lower()
    fires = [word in text.lower() for _, text in _PASSAGES.findall(user)]
    return json.dumps({"fires": fires})


def ends_and_chance(score: Any) -> str:
    """Return what the page shows beside a score."""
    low, high = (min(end, 0.99) if end < 1 else end for end in (score["ci_low"], score["ci_high"]))
    return f"{low:.2f} to {high:.2f}, chance {score['null_value']:.2f}"
