"""What kind of shift there is, before any method is tried; no label of the target is read."""

from unseen.diagnosis.diagnose import Diagnosis, diagnose, measure

__all__ = ["Diagnosis", "diagnose", "measure"]
