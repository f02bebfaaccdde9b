//! `plan-report`: what it says of a pipeline is what happens when it is started.
