"""Sepsis in the ICU: who, from when, in which state, treated how.

**Who.** Adults in whom infection was suspected (`infection`) and whose SOFA score
(`sofa`, `organs`) rose by two points or more, the score before being taken as zero:
Sepsis-3 (Singer et al., JAMA 2016;315:801-810; Seymour et al., JAMA 2016;315:762-774).
The onset is the first full hour in the ICU, from 48 hours before to 24 hours after any
suspicion, whose SOFA score is at least 2; a score is the sum of each organ's worst
points of the last 24 hours, and what was not measured counts as normal. Of each
hospital admission the first ICU stay that qualifies is taken, from 24 hours before the
onset to 48 hours after it, cut to the ICU stay.

The onset is known in hindsight alone: it may lie 48 hours before the culture or the
antibiotic that it hangs on. It chooses the stays and the hours in which they are
followed, and stands in no state.

**Compared with published cohorts.**

* Singer and Seymour define sepsis in the whole hospital, by a change from a baseline
  that may be above zero; here, as in mimic-code, it begins in the ICU at the earliest
  and the baseline is zero, so that chronic organ failure counts.
* mimic-code (its `sepsis3` for MIMIC-IV) looks at the first suspicion of an ICU stay
  whose SOFA is at least 2, in the same hours around it; so does this one. Ours leaves
  out swabs that screen every patient, gives
  one and two points for PaO2/FiO2 to ventilated patients too (as the score is defined),
  counts urine only once it was collected for a day, and makes no gas arterial by guess.
* The AI Clinician (Komorowski et al., Nat Med 2018;24:1716-1720) also takes the
  earliest suspicion and 24 hours before to 48 after, but around the suspicion; asks for
  SOFA of at least 2 in any 4-hour bin of it; leaves out stays whose treatment was
  withdrawn; and pairs the treatment of a bin with the means of what was charted in that
  same bin, after the treatment had begun. Here the state at a time knows what was
  charted at or before it (of MIMIC-IV's laboratory: reported), and the action is what
  is given in the step that follows.

**Treated how.** Intravenous fluids (`volumes`) and vasopressors (`pressors`) of each
step.
"""
