"""What is read from a request before a decision: `features.features(task, policy) -> Features` combines the others."""
