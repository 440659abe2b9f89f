"""What carries out a plan beyond a single answer: the verify and panel strategies, and what they share."""
