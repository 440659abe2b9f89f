"""From Features to a Decision. `decide.decide()` is the entrance; the other modules are its steps, in the order it calls them:
`eligibility`, `scoring` (with `cost`), `stickiness`, `plans` (with `verify_plan` and `panel_plan`), `notes`; then `explain` and
`record` render the result."""
