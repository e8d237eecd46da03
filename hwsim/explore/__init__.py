"""Design-space exploration: a space in a file, designs evaluated side by side, results in one store, the front."""
