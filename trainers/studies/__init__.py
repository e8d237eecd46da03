"""Recipes that compare several trainings or machines; one module each, with a function ``run(recipe, run, cost)``."""
