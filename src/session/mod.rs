//! One player each: registry and life cycle.
