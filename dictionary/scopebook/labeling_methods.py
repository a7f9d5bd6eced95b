"""The names of the methods that word features; API, command line and workers know them."""

from typing import Final

#: Changes whenever the same examples may get another wording by keywords.
KEYWORDS: Final = "keywords-2"
#: Changes whenever a language model may be shown or told something else about the same examples.
WORDING: Final = "wording-3"
