//! Damaged, foreign and missing files.
