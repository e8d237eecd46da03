"""Types of operators, a file a family: what they multiply, how shapes go through them, how an array runs them."""
