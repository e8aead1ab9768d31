"""How sure a coverage is that was seen on a sample (Hoeffding's inequality)."""

import math


def least_samples(delta: float, seen: float, guaranteed: float) -> int:
    """Samples needed for a coverage: `log(1/delta) / (2 (seen - guaranteed)^2)`.

    Args:
      delta: probability of being wrong, above 0 and below 1.
      seen: coverage on the sample (alpha_c of arXiv 2505.16242).
      guaranteed: coverage that shall hold in the population (alpha), below `seen`.

    Returns:
      The smallest number of independent samples.

    Raises:
      ValueError: unless `guaranteed` lies below `seen`, and both with `delta` between 0
        and 1.
    """
    if not (0.0 < delta < 1.0 and 0.0 <= guaranteed < seen <= 1.0):
        raise ValueError(
            f"delta={delta}, seen={seen}, guaranteed={guaranteed}: a coverage below "
            "the one seen can be guaranteed, and delta lies between 0 and 1"
        )
    return math.ceil(math.log(1.0 / delta) / (2.0 * (seen - guaranteed) ** 2))


def guaranteed(delta: float, seen: float, samples: int) -> float:
    """The coverage that holds but with probability `delta`; 0 where none does.

    Args:
      delta: probability of being wrong, above 0 and below 1.
      seen: coverage on the sample.
      samples: independent samples, such as patients: steps of one are alike.
    """
    return max(seen - math.sqrt(math.log(1.0 / delta) / (2.0 * samples)), 0.0)
