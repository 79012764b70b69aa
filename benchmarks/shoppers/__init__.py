"""Made-up shoppers as several sources tell them, and who each record truly is; from a seed."""

from benchmarks.shoppers.rates import RATES, Rates
from benchmarks.shoppers.tellings import Telling, tell

__all__ = ["RATES", "Rates", "Telling", "tell"]
