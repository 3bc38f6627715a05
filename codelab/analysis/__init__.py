"""All that can be measured on a set of codes, section by section: `sections` is the registry of them."""

from codelab.analysis.analyze import Analysis, analyze, analyze_parts, headlines
from codelab.analysis.sections import SECTIONS
from codelab.core.result import Skipped

__all__ = ["SECTIONS", "Analysis", "Skipped", "analyze", "analyze_parts", "headlines"]
