"""What counts, enumerates and evaluates in other ways than hwsim does: the two are held against each other."""
