"""Things learned from a cohort of training cases, and applied to each case since."""
