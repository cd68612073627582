"""Which key of a file is which key of the model: the place, the affixes, and the names.

A mapping is offered with a grade, and never where another one fits the evidence as well.
"""

from intact.alignment.affixes import Affix, find_affixes, named_prefix
from intact.alignment.averages import Averages, find_averages
from intact.alignment.matching import Choice, Match
from intact.alignment.places import AVERAGED, Placing, find_place, named_place, says_averaged
from intact.alignment.renames import Renames, find_renames

__all__ = [
    "AVERAGED",
    "Affix",
    "Averages",
    "Choice",
    "Match",
    "Placing",
    "Renames",
    "find_affixes",
    "find_averages",
    "find_place",
    "find_renames",
    "named_place",
    "named_prefix",
    "says_averaged",
]
