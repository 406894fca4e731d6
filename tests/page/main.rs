//! The streaming page as a browser shows it: Chromium loads it, runs its script, and prints the resulting document.
//!
//! Needs Chromium (`./dev test` installs it); `TIDEGATE_TEST_CHROMIUM` names another one. Without it every test fails and says so.

mod browser;
mod history;
mod login;
mod program;
mod screenshot;
