"""What bits carry, in one place: usage, entropies, mutual information, dependence.

The code lives by subject in `usage`, `entropy` and `classes`; null models and intervals in `significance`.
"""

from codelab.classes import ClassInformation, class_information
from codelab.entropy import BlockEntropy, block_entropy, entropy_of_counts
from codelab.significance import binary_entropy, wilson_interval
from codelab.usage import BitUsage, DegreesOfFreedom, bit_usage, degrees_of_freedom

__all__ = [
    "BitUsage",
    "BlockEntropy",
    "ClassInformation",
    "DegreesOfFreedom",
    "binary_entropy",
    "bit_usage",
    "block_entropy",
    "class_information",
    "degrees_of_freedom",
    "entropy_of_counts",
    "wilson_interval",
]
