"""Which key of a file is which key of the model: the place, the affixes, and the names.

A mapping is offered with a grade, and never where another one fits the evidence as well.
"""

from intact.alignment.affixes import Affix, find_affixes
from intact.alignment.places import Placing, find_place, says_averaged

__all__ = ["Affix", "Placing", "find_affixes", "find_place", "says_averaged"]
