"""What bits carry, in one place: usage, entropies, code lengths, information about classes, dependence.

The code lives by subject in `usage`, `entropy`, `lengths`, `collisions`, `classes`, `log_odds`, `joint`, `dependence`
and `shorter`; null models and intervals in `significance`.
"""

from codelab.classes import ClassInformation, attribute_information, class_information
from codelab.collisions import Collisions, collisions
from codelab.dependence import BitDependence, bit_dependence
from codelab.entropy import BlockEntropy, block_entropy, entropy_of_counts
from codelab.joint import JointInformation, joint_information
from codelab.lengths import CodeLength, TotalCorrelation, code_length, total_correlation
from codelab.log_odds import ClassLogOdds, class_log_odds
from codelab.shorter import SmallerCode, smaller_code
from codelab.shorter_criteria import propose_bits
from codelab.significance import binary_entropy, wilson_interval
from codelab.usage import BitUsage, DegreesOfFreedom, bit_usage, degrees_of_freedom

__all__ = [
    "BitDependence",
    "BitUsage",
    "BlockEntropy",
    "ClassInformation",
    "ClassLogOdds",
    "CodeLength",
    "Collisions",
    "DegreesOfFreedom",
    "JointInformation",
    "SmallerCode",
    "TotalCorrelation",
    "attribute_information",
    "binary_entropy",
    "bit_dependence",
    "bit_usage",
    "block_entropy",
    "class_information",
    "class_log_odds",
    "code_length",
    "collisions",
    "degrees_of_freedom",
    "entropy_of_counts",
    "joint_information",
    "propose_bits",
    "smaller_code",
    "total_correlation",
    "wilson_interval",
]
