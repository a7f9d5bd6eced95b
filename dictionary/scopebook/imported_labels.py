"""What imported labels rank as: what they were where they come from.

A person's label that was in force there goes before machines' labels here, and behind any that a
person gave here. A model's goes behind a model's that was checked here, and before keywords here.
Keywords come last. One that says nothing of its rank is history, and is not put in force. The rule
itself is one with that of all labels (`scopebook.label_rule`); see docs/decisions/0014-imports.md.
"""

from typing import Final

#: Where a label's provenance tells what it was, and there, as what it ranks.
IMPORT: Final = "import"
RANKS_AS: Final = "ranks_as"
PERSON, LLM, KEYWORDS = "person", "llm", "keywords"
