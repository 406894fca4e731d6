//! The streaming page as a browser shows it: Chromium loads it, runs its script, and prints what has become of the document.
//!
//! Needs Chromium (`./dev test` installs it); `TIDEGATE_TEST_CHROMIUM` names another one. Without it every test fails and says so.

mod browser;
mod fed;
mod program;
mod sight;
