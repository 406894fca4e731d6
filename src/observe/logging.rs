//! Where log lines go and how they look.
//!
//! Owns the set-up of `tracing`. Knows nothing of what is logged. Invariant: lines go to standard error, so
//! standard output is left to the console sink; a subscriber that the program installed itself stays in place.

use crate::error::{Error, Result};
use std::{io::IsTerminal, str::FromStr};
use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{self, MakeWriter},
    layer::{Layer, SubscriberExt},
    util::SubscriberInitExt,
};

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            other => {
                Err(Error::Config(format!("log format `{other}` is not known; choose `text` or `json`")))
            }
        }
    }
}

/// Sends log lines to standard error. `level` is a level (`debug`) or a filter (`info,tidegate::task=trace`);
/// `None` = the value of `RUST_LOG`, or else `info`.
///
/// # Errors
/// [`Error::Config`] if the filter is malformed.
pub fn init(format: LogFormat, level: Option<&str>) -> Result {
    let layer = layer(format, std::io::stderr, std::io::stderr().is_terminal());
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(level)?));
    let _ = subscriber.try_init(); // fails if the program installed its own, which then stays
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "RUST_LOG is read by convention")]
fn filter(level: Option<&str>) -> Result<EnvFilter> {
    let parsed = match level {
        Some(level) => {
            EnvFilter::builder().parse(level).map_err(|e| (format!("log level `{level}`"), e.to_string()))
        }
        None => EnvFilter::builder()
            .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
            .parse(std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default())
            .map_err(|e| (format!("the environment variable {}", EnvFilter::DEFAULT_ENV), e.to_string())),
    };
    parsed.map_err(|(what, why)| {
        Error::Config(format!(
            "{what} is not a filter: {why}\n  next: write for example `debug` or `info,tidegate=debug`"
        ))
    })
}

fn layer<W>(format: LogFormat, writer: W, colour: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(colour).boxed(),
        LogFormat::Json => fmt::layer().with_writer(writer).json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str) -> String {
        let page = Page::default();
        let to = page.clone();
        let layer = layer(format, move || to.clone(), false).with_filter(filter(Some(level)).unwrap());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(topic = "orders", offset = 7, "bad record");
            tracing::debug!("detail");
        });
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_lines_carry_the_fields_and_obey_the_level() {
        let lines = logged(LogFormat::Text, "info");
        assert!(lines.contains("bad record topic=\"orders\" offset=7"), "{lines}");
        assert_eq!(lines.lines().count(), 1);
        assert_eq!(logged(LogFormat::Text, "debug").lines().count(), 2);
        assert_eq!(logged(LogFormat::Text, "warn"), "");
    }

    #[test]
    fn json_lines_are_objects_with_the_fields_on_top() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, "info")).unwrap();
        assert_eq!(
            (&line["message"], &line["topic"], &line["offset"]),
            (&"bad record".into(), &"orders".into(), &7.into())
        );
    }

    #[test]
    fn wrong_settings_say_what_to_write() {
        let wrong = filter(Some("tidegate=loud")).unwrap_err().to_string();
        assert!(wrong.contains("`tidegate=loud`") && wrong.contains("next:"), "{wrong}");
        assert!("xml".parse::<LogFormat>().unwrap_err().to_string().contains("choose `text` or `json`"));
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
    }
}
