"""SOFA, organ by organ, and SIRS: arrays in, points out.

Vincent et al., Intensive Care Med 1996;22:707-710 (table 3). What was not measured
gives no points, as if it were normal. Arrays have any one shape; NaN is unknown.
"""

import numpy as np


def respiration(ratio: np.ndarray, supported: np.ndarray) -> np.ndarray:
    """Points by PaO2 / FiO2.

    Args:
      ratio: mmHg.
      supported: bool, whether breathing was supported by a machine: without it there
        are at most 2 points.
    """
    points = _below(ratio, 400.0, 300.0, 200.0, 100.0)
    return np.where(supported, points, np.minimum(points, 2))


def coagulation(platelets: np.ndarray) -> np.ndarray:
    """Points by platelets, K/uL."""
    return _below(platelets, 150.0, 100.0, 50.0, 20.0)


def liver(bilirubin: np.ndarray) -> np.ndarray:
    """Points by bilirubin, mg/dL."""
    return _from(bilirubin, 1.2, 2.0, 6.0, 12.0)


def cardiovascular(
    mbp: np.ndarray,
    dopamine: np.ndarray,
    dobutamine: np.ndarray,
    epinephrine: np.ndarray,
    norepinephrine: np.ndarray,
) -> np.ndarray:
    """Points by mean blood pressure and by drugs that raise it.

    Args:
      mbp: mmHg.
      dopamine: ug/kg/min, zero where none runs; so the others.
      dobutamine: see above.
      epinephrine: see above.
      norepinephrine: see above.
    """
    catecholamine = np.maximum(epinephrine, norepinephrine)
    points = np.where(mbp < 70.0, 1, 0)
    points = np.where((dopamine > 0.0) | (dobutamine > 0.0), 2, points)
    points = np.where((dopamine > 5.0) | (catecholamine > 0.0), 3, points)
    return np.where((dopamine > 15.0) | (catecholamine > 0.1), 4, points)


def nervous_system(gcs: np.ndarray) -> np.ndarray:
    """Points by the Glasgow coma score."""
    return _below(gcs, 15.0, 13.0, 10.0, 6.0)


def renal(creatinine: np.ndarray, urine: np.ndarray) -> np.ndarray:
    """Points by creatinine and urine.

    Args:
      creatinine: mg/dL.
      urine: mL in 24 hours; NaN where it was not collected for so long.
    """
    by_urine = np.where(urine < 500.0, 3, 0)
    by_urine = np.where(urine < 200.0, 4, by_urine)
    return np.maximum(_from(creatinine, 1.2, 2.0, 3.5, 5.0), by_urine)


def sirs(
    temperature: np.ndarray,
    hr: np.ndarray,
    rr: np.ndarray,
    paco2: np.ndarray,
    wbc: np.ndarray,
) -> np.ndarray:
    """Criteria of systemic inflammation that are met, 0 to 4 (Bone et al. 1992).

    Args:
      temperature: degC.
      hr: heart rate, 1/min.
      rr: respiratory rate, 1/min.
      paco2: mmHg.
      wbc: K/uL.
    """
    return (
        ((temperature > 38.0) | (temperature < 36.0)).astype(int)
        + (hr > 90.0)
        + ((rr > 20.0) | (paco2 < 32.0))
        + ((wbc > 12.0) | (wbc < 4.0))
    )


def _below(value: np.ndarray, *limits: float) -> np.ndarray:
    """Number of limits that the value lies below."""
    return sum((value < limit).astype(int) for limit in limits)


def _from(value: np.ndarray, *limits: float) -> np.ndarray:
    """Number of limits that the value has reached."""
    return sum((value >= limit).astype(int) for limit in limits)
