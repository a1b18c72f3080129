"""The course: exercises with their checks, their grading, and the numbers that notebooks explain."""
