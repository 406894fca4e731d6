//! How much memory the process may use, and the part of it that each setting takes by default.
//!
//! Owns how a limit is found, and these parts. Does not know what the settings bound. Invariants: a limit is that of the control group
//! of the process or of one above it, whichever is lowest, of either version of Linux's control groups; a machine without them has no limit,
//! and what cannot be read is no limit.

use super::Config;
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// From this limit on the settings have the values that they have without one.
const COMFORTABLE: usize = 1 << 30;
/// Of what a limit has above that, state takes one part in so many.
const STATE_SHARE: usize = 4;
/// Version 1 says "no limit" with a number: the greatest that is a whole number of pages, of whatever size.
const UNLIMITED: u64 = 1 << 60;
/// What a process takes beside the buffers that settings bound: itself, the client's queues, the copies at the end of a batch.
const BESIDE: usize = 128 << 20;

/// Settings in bytes, with the values that they have if nobody sets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub state: usize,
    pub staged: usize,
    pub receive_buffer: usize,
}

impl Parts {
    /// Without a limit, or with one that is high enough for them.
    const DEFAULT: Self = Parts { state: 96 << 20, staged: 192 << 20, receive_buffer: 32 << 20 };

    /// Under the limit of this process.
    pub fn of_process() -> Self {
        Self::within(limit())
    }

    fn within(limit: Option<usize>) -> Self {
        let Some(limit) = limit else { return Self::DEFAULT };
        if limit >= COMFORTABLE {
            return Parts {
                state: Self::DEFAULT.state + (limit - COMFORTABLE) / STATE_SHARE,
                ..Self::DEFAULT
            };
        }
        // Whole MiB are easier to read in a log.
        let part = |bytes: usize, least: usize| (((bytes / 1024 * (limit >> 20)) >> 20) << 20).max(least);
        Parts {
            state: part(Self::DEFAULT.state, 8 << 20),
            staged: part(Self::DEFAULT.staged, 4 << 20),
            receive_buffer: part(Self::DEFAULT.receive_buffer, 1 << 20),
        }
    }
}

/// The limit of this process, in bytes. It is looked for once.
pub(crate) fn limit() -> Option<usize> {
    static LIMIT: OnceLock<Option<usize>> = OnceLock::new();
    *LIMIT.get_or_init(|| limit_below(Path::new("/")))
}

/// Whether the default of this setting follows the limit.
pub(crate) fn decides(name: &str) -> bool {
    limit().is_some() && ["--state-memory-bytes", "staged_bytes_max", "receive_buffer_bytes"].contains(&name)
}

/// Says what the limit is and what the settings make of it; warns if they need more than there is.
pub(crate) fn tell(config: &Config) {
    match limit().map(|limit| told(config, limit)) {
        None => {}
        Some(Ok(text)) => tracing::info!("{text}"),
        Some(Err(text)) => tracing::warn!("{text}"),
    }
}

fn told(config: &Config, limit: usize) -> Result<String, String> {
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let (state, staged, ahead) =
        (config.state_memory_bytes, config.staged_bytes_max, config.receive_buffer_bytes.saturating_mul(2));
    let parts = format!(
        "{} for state (--state-memory-bytes), {} for what a batch holds (staged_bytes_max), {} for input that is read ahead (receive_buffer_bytes)",
        mib(state),
        mib(staged),
        mib(ahead)
    );
    let needed = [state, staged, ahead].into_iter().fold(BESIDE, usize::saturating_add);
    if needed <= limit {
        return Ok(format!("memory limit {}: up to {parts}", mib(limit)));
    }
    Err(format!(
        "memory limit {}, but up to {} are needed: {parts}, {} beside them; the process may be killed for it\n  next: raise the limit, or lower these settings",
        mib(limit),
        mib(needed),
        mib(BESIDE)
    ))
}

/// The two versions of control groups: how their mount is recognised, and the file with the limit.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// The path of the process's group, of a line of `/proc/self/cgroup`: `4:memory:/path`, or `0::/path`.
    fn of_group(line: &str) -> Option<(Self, &Path)> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, Path::new(fields.next()?));
        match controllers {
            "" => Some((Version::Two, path)),
            _ if controllers.split(',').any(|one| one == "memory") => Some((Version::One, path)),
            _ => None,
        }
    }

    /// Root and place of a mount of this version, of a line of `/proc/self/mountinfo`:
    /// `36 35 0:30 /root /place rw,nosuid shared:15 - cgroup cgroup rw,memory`.
    fn mount(self, line: &str) -> Option<(&Path, &Path)> {
        let (before, after) = line.split_once(" - ")?;
        let (mut before, mut after) = (before.split(' ').skip(3), after.split(' '));
        let (root, place) = (Path::new(before.next()?), Path::new(before.next()?));
        let (kind, options) = (after.next()?, after.nth(1)?);
        let is_ours = match self {
            Version::One => kind == "cgroup" && options.split(',').any(|one| one == "memory"),
            Version::Two => kind == "cgroup2",
        };
        is_ours.then_some((root, place))
    }

    fn file(self) -> &'static str {
        match self {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        }
    }
}

/// The limit in a file system that begins at `root`.
fn limit_below(root: &Path) -> Option<usize> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let (groups, mounts) = (read("proc/self/cgroup")?, read("proc/self/mountinfo")?);
    let limits = groups.lines().filter_map(Version::of_group).filter_map(|(version, group)| {
        let mut candidates = mounts.lines().filter_map(|line| version.mount(line)).peekable();
        let first = *candidates.peek()?;
        // A container sees its own group as the root of the mount, whatever the path of the group says.
        let ours = candidates.find_map(|(from, place)| Some((place, group.strip_prefix(from).ok()?)));
        let (place, below) = ours.unwrap_or((first.1, Path::new("")));
        let place = root.join(place.strip_prefix("/").unwrap_or(place));
        lowest(&place, &place.join(below), version.file())
    });
    limits.min()
}

/// The lowest limit of a group and those above it, up to the place of the mount.
fn lowest(place: &Path, group: &Path, file: &str) -> Option<usize> {
    let groups = group.ancestors().take_while(|folder| folder.starts_with(place)).map(PathBuf::from);
    let limit = |folder: PathBuf| {
        let text = std::fs::read_to_string(folder.join(file)).ok()?;
        let bytes = text.trim().parse::<u64>().ok().filter(|bytes| *bytes < UNLIMITED)?;
        usize::try_from(bytes).ok()
    };
    groups.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fs;

    const MIB: usize = 1 << 20;

    /// A file system with these files, by path.
    fn limit_of(files: &[(&str, &str)]) -> Option<usize> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        limit_below(root.path()).map(|bytes| bytes / MIB)
    }

    const TWO: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_two_gives_the_lowest_limit_on_the_way_up() {
        let at = |group, own, parent| {
            limit_of(&[
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", TWO),
                ("sys/fs/cgroup/kubepods/pod1/c1/memory.max", own),
                ("sys/fs/cgroup/kubepods/pod1/memory.max", parent),
                ("sys/fs/cgroup/kubepods/memory.max", "max\n"),
                ("sys/fs/cgroup/memory.max", "536870912\n"), // as a container sees its own
            ])
        };
        assert_eq!(at("0::/kubepods/pod1/c1\n", "268435456\n", "max\n"), Some(256));
        assert_eq!(at("0::/kubepods/pod1/c1\n", "max\n", "134217728\n"), Some(128));
        assert_eq!(at("0::/\n", "1048576\n", "1048576\n"), Some(512));
        assert_eq!(at("0::/../../elsewhere\n", "1048576\n", "1048576\n"), Some(512));
        assert_eq!(at("0::/\nnonsense\n", "", ""), Some(512));
    }

    #[test]
    fn version_one_is_found_beside_an_empty_version_two() {
        let mounts = |root: &str| {
            format!(
                "30 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n31 24 0:28 {root} /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n32 24 0:29 {root} /sys/fs/cgroup/memory ro,nosuid master:9 - cgroup cgroup rw,memory\n"
            )
        };
        let group = "9:name=systemd:/x\n4:memory:/kubepods/pod1/c1\n1:cpu,cpuacct:/x\n0::/\n";
        // In a container its own group is the root of the mount.
        let inside = limit_of(&[
            ("proc/self/cgroup", group),
            ("proc/self/mountinfo", &mounts("/kubepods/pod1/c1")),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
        ]);
        assert_eq!(inside, Some(64));
        let outside = limit_of(&[
            ("proc/self/cgroup", group),
            ("proc/self/mountinfo", &mounts("/")),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes", "100663296\n"),
            ("sys/fs/cgroup/memory/kubepods/pod1/c1/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(outside, Some(96));
    }

    #[test]
    fn no_limit_and_nothing_to_read_are_no_limit() {
        assert_eq!(limit_of(&[]), None);
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", TWO)]), None);
        let unlimited = [
            ("proc/self/cgroup", "0::/a\n"),
            ("proc/self/mountinfo", TWO),
            ("sys/fs/cgroup/a/memory.max", "max\n"),
        ];
        assert_eq!(limit_of(&unlimited), None);
        assert_eq!(
            limit_of(&[("proc/self/cgroup", "0::/a\n"), ("proc/self/mountinfo", "1 2\n- - -\n")]),
            None
        );
    }

    #[test]
    fn settings_follow_the_limit_and_are_always_valid() {
        let parts = |limit: usize| {
            let Parts { state, staged, receive_buffer } = Parts::within(Some(limit * MIB));
            [state / MIB, staged / MIB, receive_buffer / MIB]
        };
        assert_eq!(Parts::within(None), Parts::DEFAULT);
        assert_eq!(parts(1024), [96, 192, 32]);
        assert_eq!(parts(512), [48, 96, 16]);
        assert_eq!(parts(300), [28, 56, 9]);
        assert_eq!(parts(64), [8, 12, 2]);
        assert_eq!(parts(1), [8, 4, 1]);
        assert_eq!(parts(4096), [96 + 768, 192, 32]);
        for limit in [0, 1, 100, 1 << 30, 1 << 40] {
            let Parts { state, staged, receive_buffer } = Parts::within(Some(limit));
            let mut config = Config::new("a", "memory:");
            config.state_memory_bytes = state;
            config.staged_bytes_max = staged;
            config.receive_buffer_bytes = receive_buffer;
            config.validate().unwrap();
        }
    }

    #[test]
    fn a_limit_that_is_too_low_for_the_settings_is_told() {
        let config = |limit: usize| {
            let Parts { state, staged, receive_buffer } = Parts::within(Some(limit * MIB));
            let mut config = Config::new("a", "memory:");
            config.state_memory_bytes = state;
            config.staged_bytes_max = staged;
            config.receive_buffer_bytes = receive_buffer;
            config
        };
        expect!["memory limit 512 MiB: up to 48 MiB for state (--state-memory-bytes), 96 MiB for what a batch holds (staged_bytes_max), 32 MiB for input that is read ahead (receive_buffer_bytes)"]
            .assert_eq(&told(&config(512), 512 * MIB).unwrap());
        assert!(told(&config(256), 256 * MIB).is_ok());
        let mut own = config(512);
        own.state_memory_bytes = 400 * MIB;
        expect![[r"
            memory limit 512 MiB, but up to 656 MiB are needed: 400 MiB for state (--state-memory-bytes), 96 MiB for what a batch holds (staged_bytes_max), 32 MiB for input that is read ahead (receive_buffer_bytes), 128 MiB beside them; the process may be killed for it
              next: raise the limit, or lower these settings"]]
        .assert_eq(&told(&own, 512 * MIB).unwrap_err());
        assert!(told(&config(64), 64 * MIB).is_err());
    }
}
