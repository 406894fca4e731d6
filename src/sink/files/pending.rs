//! Files that no reader looks at yet, and how they get their final names.
//!
//! Owns the folder `.tidegate-pending` beside the final files, and when what is forced to the disk. Knows no
//! format and no batch. Invariants: a file gets its final name whole or not at all, by a rename within one
//! file system; an existing file is never overwritten; a folder of pending files is removed only after all
//! its files have final names on the disk, so what is gone is finished; everything that a process has not
//! finished is in a folder of its own; a share of a batch that several processes write is not deleted by a process that starts, as
//! the batch may be finished later.

use crate::error::{Error, Result};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Readers of folders, such as Spark's, skip names that begin with a dot.
const PENDING: &str = ".tidegate-pending";

/// How the name of a folder begins that holds the share of a process in a batch.
pub(super) const SHARE: &str = "share-";

/// The pending files of one output in one process.
pub(super) struct Pending {
    /// Where final files go.
    root: PathBuf,
    /// Below `root`: the folder of this output and process.
    own: PathBuf,
    /// Below `root`: the folder of all processes of the application.
    all: PathBuf,
    /// The name of this output's folder in that of a process.
    output: String,
    /// Goes into the name of a file whose own name is taken.
    instance: String,
}

impl Pending {
    /// `path` keeps applications, processes and outputs apart; each of its parts is a file name.
    pub fn new(root: &Path, path: [&str; 3], instance: &str) -> Self {
        let [all, instance_folder, output] = path.map(|part| format!("_{part}"));
        let all = Path::new(PENDING).join(all);
        let own = all.join(instance_folder).join(&output);
        Pending { root: root.to_owned(), own, all, output, instance: instance.to_owned() }
    }

    /// A new folder for the files of one batch, as a path below the root.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.own.join(name);
        create(&self.root.join(&folder))?;
        Ok(folder)
    }

    /// Writes one file and forces all of it to the disk.
    pub fn write(&self, folder: &Path, name: &Path, content: impl FnOnce(&mut File) -> Result) -> Result {
        let path = self.root.join(folder).join(name);
        let parent = path.parent().expect("a file lies in a folder");
        create(parent)?;
        let mut file = File::create_new(&path).map_err(failed("creating", &path))?;
        content(&mut file)?;
        file.sync_all().map_err(failed("writing", &path))?;
        sync(parent)
    }

    /// Gives the files of pending folders their final names below the folder `to`; then writes the empty file `mark`, if one is
    /// given. May be called again, and by several processes at once.
    pub fn finish(&self, folders: &[PathBuf], to: &Path, mark: Option<&str>) -> Result {
        let to = self.root.join(to);
        let (mut is_unfinished, mut changed) = (false, BTreeSet::new());
        for folder in folders {
            let from = self.root.join(folder);
            if exists(&from)? {
                is_unfinished = true;
                self.publish(&from, &to, &mut changed)?;
            } else {
                self.is_finished(folder)?;
            }
        }
        if !is_unfinished {
            return Ok(());
        }
        changed.iter().try_for_each(|folder| sync(folder))?;
        if let Some(mark) = mark {
            self.mark(&to, mark)?;
        }
        folders.iter().try_for_each(|folder| self.discard(folder))
    }

    /// Writes the empty file `mark` into the folder `to`.
    pub fn mark(&self, to: &Path, mark: &str) -> Result {
        let to = self.root.join(to);
        create(&to)?;
        let path = to.join(mark);
        File::create(&path).and_then(|f| f.sync_all()).map_err(failed("writing", &path))?;
        sync(&to)
    }

    /// The first of these folders that is not there.
    pub fn missing<'a>(&self, folders: &'a [PathBuf]) -> Result<Option<&'a Path>> {
        for folder in folders {
            if !exists(&self.root.join(folder))? {
                return Ok(Some(folder));
            }
        }
        Ok(None)
    }

    /// A pending folder is gone: its files are finished. If the folder around it is gone too, this is not the
    /// disk of the process that wrote them; if they are our own, something is wrong.
    fn is_finished(&self, folder: &Path) -> Result {
        let own = self.root.join(&self.own);
        if !folder.starts_with(&self.own) || exists(&own)? {
            return Ok(());
        }
        let own = own.display();
        Err(Error::Refused(format!(
            "the folder {own}, which held the files of the last committed batch, is gone\n  next: mount its file system; if it was deleted on purpose: mkdir -p {own}"
        )))
    }

    fn publish(&self, from: &Path, to: &Path, changed: &mut BTreeSet<PathBuf>) -> Result {
        create(to)?;
        for name in names(from)? {
            let (source, mut target) = (from.join(&name), to.join(&name));
            if source.is_dir() {
                self.publish(&source, &target, changed)?;
                continue;
            }
            let _ = crate::failpoint::passes("during-finish");
            if target.exists() {
                target = to.join(self.other_name(&name));
            }
            match fs::rename(&source, &target) {
                Err(e) if e.kind() == ErrorKind::NotFound => {} // another process was faster
                renamed => renamed.map_err(failed("renaming to", &target))?,
            }
            changed.insert(to.to_owned());
        }
        Ok(())
    }

    /// `part-00001.json` of the process `b` becomes `part-00001-b.json` if another process has a file of that
    /// name.
    fn other_name(&self, name: &str) -> String {
        match name.split_once('.') {
            Some((stem, rest)) => format!("{stem}-{}.{rest}", self.instance),
            None => format!("{name}-{}", self.instance),
        }
    }

    /// Deletes a pending folder.
    pub fn discard(&self, folder: &Path) -> Result {
        let path = self.root.join(folder);
        match fs::remove_dir_all(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed("deleting", &path)),
        }
    }

    /// Deletes everything pending for this output and process, but for its shares.
    pub fn discard_all(&self) -> Result {
        let names = names(&self.root.join(&self.own))?;
        let is_kept =
            |name: &String| name.starts_with(SHARE) && !crate::failpoint::passes("mutant-shares-discarded");
        let mut own = names.iter().filter(|name| !is_kept(name));
        own.try_for_each(|name| self.discard(&self.own.join(name)))
    }

    /// Deletes the shares of this output, of any process, that belong to nobody any more.
    pub fn discard_shares(&self, is_abandoned: impl Fn(&str) -> bool) -> Result {
        for process in names(&self.root.join(&self.all))? {
            let folder = self.all.join(process).join(&self.output);
            for name in names(&self.root.join(&folder))?.iter().filter(|name| is_abandoned(name)) {
                self.discard(&folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(failed("looking at", path))
}

/// The names in a folder, in order; a folder that is gone is empty.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(failed("reading", folder))?,
    };
    let mut names = vec![];
    for entry in entries {
        let entry = entry.map_err(failed("reading", folder))?;
        names.push(entry.file_name().to_string_lossy().into_owned()); // written by us: plain text
    }
    names.sort();
    Ok(names)
}

/// Creates a folder and those above it, and forces each to the disk.
fn create(folder: &Path) -> Result {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    create(parent)?;
    match fs::create_dir(folder) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        created => created.map_err(failed("creating the folder", folder))?,
    }
    sync(parent)
}

/// Forces the names in a folder to the disk.
fn sync(folder: &Path) -> Result {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed("writing the folder", folder))
}

fn failed(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    Error::io(format!("{doing} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn write(pending: &Pending, folder: &Path, name: &str, text: &str) {
        let content = |file: &mut File| file.write_all(text.as_bytes()).map_err(Error::io("test"));
        pending.write(folder, Path::new(name), content).unwrap();
    }

    fn read(root: &Path, name: &str) -> String {
        fs::read_to_string(root.join(name)).unwrap()
    }

    #[test]
    fn files_appear_when_finished_and_finishing_again_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let pending = Pending::new(root.path(), ["app", "a", "out"], "a");
        let folder = pending.folder("1-1").unwrap();
        write(&pending, &folder, "day=1/part-00000.txt", "x");
        assert!(!root.path().join("to").exists());
        for _ in 0..2 {
            pending.finish(std::slice::from_ref(&folder), Path::new("to"), Some("_SUCCESS")).unwrap();
            assert_eq!(read(root.path(), "to/day=1/part-00000.txt"), "x");
            assert_eq!(read(root.path(), "to/_SUCCESS"), "");
        }
        fs::remove_dir_all(root.path().join("to")).unwrap();
        pending.finish(std::slice::from_ref(&folder), Path::new("to"), Some("_SUCCESS")).unwrap();
        assert!(!root.path().join("to").exists(), "what a user deleted does not come back");
    }

    #[test]
    fn shares_of_several_processes_are_finished_before_the_mark_and_only_abandoned_ones_are_deleted() {
        let root = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|i| Pending::new(root.path(), ["app", i, "out"], i));
        let folders: Vec<PathBuf> = [&a, &b].map(|p| p.folder("share-5-1-1").unwrap()).into();
        write(&a, &folders[0], "part-00000", "x");
        write(&b, &folders[1], "part-00001", "y");
        let of_nobody = b.folder("share-4-1-1").unwrap();
        [&a, &b].iter().for_each(|p| p.discard_all().unwrap());
        assert_eq!(a.missing(&folders).unwrap(), None, "a process that starts deletes no share");
        // Whoever finished it before died after the first share.
        let mut changed = BTreeSet::new();
        a.publish(&root.path().join(&folders[0]), &root.path().join("to"), &mut changed).unwrap();
        a.discard(&folders[0]).unwrap();
        assert!(!root.path().join("to/_SUCCESS").exists());
        assert_eq!(a.missing(&folders).unwrap(), Some(&*folders[0]));
        b.finish(&folders, Path::new("to"), Some("_SUCCESS")).unwrap();
        let read = |name: &str| read(root.path(), name);
        assert_eq!((read("to/part-00000"), read("to/part-00001")), ("x".into(), "y".into()));
        assert_eq!(read("to/_SUCCESS"), "");
        a.discard_shares(|name| name == "share-4-1-1").unwrap();
        assert_eq!(a.missing(std::slice::from_ref(&of_nobody)).unwrap(), Some(&*of_nobody));
    }

    #[test]
    fn a_missing_disk_is_not_a_finished_batch() {
        let root = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|i| Pending::new(root.path(), ["app", i, "out"], i));
        let folder = a.folder("1-1").unwrap();
        write(&a, &folder, "part-00000.txt", "x");
        fs::remove_dir_all(root.path().join(PENDING)).unwrap();
        b.finish(std::slice::from_ref(&folder), Path::new("to"), None).unwrap(); // it has a disk of its own
        let refused = a.finish(std::slice::from_ref(&folder), Path::new("to"), None).unwrap_err().to_string();
        assert!(refused.contains("is gone") && refused.contains("mkdir -p"), "{refused}");
    }

    #[test]
    fn a_file_of_another_process_is_kept_and_its_pending_files_too() {
        let root = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|i| Pending::new(root.path(), ["app", i, "out"], i));
        let folders = [&a, &b].map(|p| {
            let folder = p.folder("1-1").unwrap();
            write(p, &folder, "part-00000.txt", &p.instance);
            folder
        });
        a.finish(&folders[..1], Path::new("to"), None).unwrap();
        a.discard_all().unwrap();
        b.finish(&folders[1..], Path::new("to"), None).unwrap();
        let [first, second] = ["to/part-00000.txt", "to/part-00000-b.txt"].map(|f| read(root.path(), f));
        assert_eq!((first.as_str(), second.as_str()), ("a", "b"));
    }
}
