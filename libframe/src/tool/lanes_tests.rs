//! What lanes must do.
