"""A pipeline over many scans: found by themselves, resumed where they stopped, one bad scan no trouble for the rest."""
