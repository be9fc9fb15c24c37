"""The approval state of the log platform's collectors: a pure state machine and the table it is kept in."""
